"""What `websocket.py` is made of: who may begin (`handshake.py`, pure), what is said (`conversation.py`, pure), and the
object that an app gets (`talk.py`), which has the socket.
"""
