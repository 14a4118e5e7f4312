"""The control plane: releases, plans, the deployer, supervisor. Unpatched: it never imports `worker`."""
