"""What apps require, resolved and installed by uv: which file asks for what, which Python fits, what is shared."""
