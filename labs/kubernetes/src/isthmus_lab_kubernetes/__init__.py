"""Real Kubernetes on one small machine: how it is built, its guests, their networks.

A **guest** is a virtual machine to all that runs in it (systemd, cloud-init, containerd, kubelet)
and a container to the host. Nothing here knows Isthmus or OpenStack's code; of OpenStack only
Neutron's and Nova's APIs are read, by the agent that draws the cloud's networks.
"""
