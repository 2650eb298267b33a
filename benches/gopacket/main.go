// Reassembles the TCP streams of a pcap (little-endian, microseconds) with gopacket and digests the body of every HTTP request: a peer for
// `exhibit inspect`, measured by benches/run.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o uploads main.go
//	./uploads CAPTURE
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/tcpassembly"
	"github.com/google/gopacket/tcpassembly/tcpreader"
)

// The largest frame that capturing programs write.
const maxFrame = 262144

// Pages of 1,900 bytes that wait for a missing segment: in all, and of one connection.
const (
	maxPages              = 100000
	maxPagesPerConnection = 10000
)

var (
	bodies, bodyBytes int64
	running           sync.WaitGroup
)

// uploads reads requests from each direction of each connection.
type uploads struct{}

func (uploads) New(_, _ gopacket.Flow) tcpassembly.Stream {
	reader := tcpreader.NewReaderStream()
	running.Add(1)
	go func() {
		defer running.Done()
		digest(&reader)
	}()
	return &reader
}

// digest takes request after request; what is no request is read to its end.
func digest(stream io.Reader) {
	buffered := bufio.NewReaderSize(stream, 64<<10)
	for {
		request, err := http.ReadRequest(buffered)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if err != nil {
			_, _ = io.Copy(io.Discard, buffered)
			return
		}
		hash := sha256.New()
		length, err := io.Copy(hash, request.Body)
		if err == nil && length > 0 {
			atomic.AddInt64(&bodies, 1)
			atomic.AddInt64(&bodyBytes, length)
			_ = hash.Sum(nil)
		}
	}
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: uploads CAPTURE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "uploads:", err)
		os.Exit(1)
	}
	fmt.Printf("%d bodies, %d bytes\n", bodies, bodyBytes)
}

func run(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	capture := bufio.NewReaderSize(file, 1<<20)
	var head [24]byte
	if _, err := io.ReadFull(capture, head[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(head[:]) != 0xa1b2c3d4 {
		return errors.New("not a little-endian pcap in microseconds")
	}
	assembler := tcpassembly.NewAssembler(tcpassembly.NewStreamPool(uploads{}))
	assembler.MaxBufferedPagesTotal = maxPages
	assembler.MaxBufferedPagesPerConnection = maxPagesPerConnection
	var (
		ethernet layers.Ethernet
		four     layers.IPv4
		six      layers.IPv6
		tcp      layers.TCP
		udp      layers.UDP
		payload  gopacket.Payload
		decoded  []gopacket.LayerType
		data     = make([]byte, maxFrame)
	)
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &ethernet, &four, &six, &tcp, &udp, &payload)
	parser.IgnoreUnsupported = true
	for {
		var record [16]byte
		if _, err := io.ReadFull(capture, record[:]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		word := func(at int) int64 { return int64(binary.LittleEndian.Uint32(record[at:])) }
		if word(8) > maxFrame {
			return errors.New("a record longer than a frame")
		}
		// The assembler copies what it keeps.
		data = data[:word(8)]
		if _, err := io.ReadFull(capture, data); err != nil {
			return err
		}
		if err := parser.DecodeLayers(data, &decoded); err != nil {
			continue
		}
		var network gopacket.Flow
		for _, layer := range decoded {
			switch layer {
			case layers.LayerTypeIPv4:
				network = four.NetworkFlow()
			case layers.LayerTypeIPv6:
				network = six.NetworkFlow()
			case layers.LayerTypeTCP:
				assembler.AssembleWithTimestamp(network, &tcp, time.Unix(word(0), word(4)*1000))
			}
		}
	}
	assembler.FlushAll()
	running.Wait()
	return nil
}
