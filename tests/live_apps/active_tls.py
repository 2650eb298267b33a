"""Uploads FILE with ftplib in active mode, control and data under TLS: active_tls.py FILE KEYLOG PORT

The client is at 127.0.0.2, the server at 127.0.0.1.
"""

import ftplib
import ssl
import sys
from pathlib import Path

file, keys, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.keylog_filename = keys
client = ftplib.FTP_TLS(context=context)
client.connect("127.0.0.1", port, timeout=60, source_address=("127.0.0.2", 0))
client.set_pasv(False)
client.login("user", "secret")
client.prot_p()
with file.open("rb") as stream:
    client.storbinary(f"STOR {file.name}", stream)
client.quit()
