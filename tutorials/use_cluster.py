"""Search on a Ray cluster. Two nodes on this machine stand for two machines.

On machines of your own, start Ray yourself, and leave out the parts with `cluster`:

    ray start --head --port 6379         # on the first machine
    ray start --address FIRST:6379       # on the others

Options are passed on to the search.
"""

import os
import subprocess
import sys

from ray.cluster_utils import Cluster

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
cluster = Cluster()
for _ in range(2):
    cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=100_000_000)
try:
    # The address is FIRST:6379 for you, or `auto` on any machine of the cluster. The run folder is
    # on the machine of this command. By default, there are as many workers as the CPUs and GPUs of
    # the cluster allow; machines that join during the search are used, too.
    command = ["lemonade-tf", "search", "--preset", "minute", "--workdir", "cluster_run"]
    command += ["--executor", "ray", "--ray_address", cluster.address]
    subprocess.run([*command, *sys.argv[1:]], check=True)
finally:
    cluster.shutdown()
