TABLE = {"port": "80"}
PORT = int(TABLE["prot"])
