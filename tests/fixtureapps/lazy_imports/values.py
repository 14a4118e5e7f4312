VALUE = "value"
