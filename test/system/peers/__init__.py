"""The peers of the system tests: devices, brokers, certificates, and the program itself."""
