"""ISO 20022 messages as values: what a bank reads and writes, apart from any bank and from how it travels.

Pure: streams in, values out, or values in and bytes out. Nothing here opens a file, reads a clock or knows an
adapter. Where banks differ is a `Dialect`.
"""
