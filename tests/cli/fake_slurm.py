# SPDX-License-Identifier: Apache-2.0
"""Programs of Slurm that keep a queue in a folder, one for each cluster, in which jobs wait for ever."""
import os
from pathlib import Path

SBATCH = """
exec 9>lock; flock 9
id=$(($(cat "number-$cluster" 2>/dev/null || echo 70) + 1)); echo "$id" >"number-$cluster"
elements=("") comment= script=
for word; do
  case $word in
    --array=*) elements=(${word#*=}); elements=(${elements//,/ }); elements=("${elements[@]/#/_}") ;;
    --comment=*) comment=${word#*=} ;;
    /*.sbatch) script=$word ;;
  esac
done
for element in "${elements[@]}"; do echo "$id$element|PENDING Priority|$comment|$script"; done >>"jobs-$cluster"
echo "$id"
"""
SQUEUE = """
while IFS='|' read -r id state comment _; do
  if [[ $* == *%k* ]]; then echo "$id|$state|$comment"; else echo "$id|${state% *}|${state#* }"; fi
done <"jobs-$cluster"
"""
SCONTROL = """
echo "ClusterName             = $cluster"
"""


class FakeSlurm:
    def __init__(self, folder, cluster="here"):
        self.folder = Path(folder)
        self.folder.mkdir()
        self.move_to(cluster)
        for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scontrol", SCONTROL)):
            program = self.folder / name
            program.write_text('#!/bin/bash\ncd "$(dirname "$0")" || exit\ncluster=$(cat cluster)\n' + text)
            program.chmod(0o755)
        os.environ["PATH"] = f"{self.folder}:{os.environ['PATH']}"

    def move_to(self, cluster):
        (self.folder / "cluster").write_text(cluster + "\n")
        self.jobs = self.folder / f"jobs-{cluster}"
        self.jobs.touch()

    def jobs_of(self, run_folder):
        """Number and the stem of the script, of an array for each element."""
        lines = [line.split("|") for line in self.jobs.read_text().splitlines()]
        return [(id, Path(script).stem) for id, _, _, script in lines if script.startswith(f"{run_folder}/")]
