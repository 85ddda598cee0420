"""A cloud's networks drawn for its guests: what Neutron's and Nova's agents do on real hosts.

`neutron` reads what is wanted, `rules` writes it down as nftables text, `drawing` applies it,
`doors` gives guests the cloud's API and metadata, and `agent` does all this again and again.
"""
