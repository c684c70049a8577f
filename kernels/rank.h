// What a process knows of the group it was started in: which of how many it is, on its node and over all nodes, and
// where rank 0 is to be found. Whoever starts the processes says so in their environment.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace earmark {

struct Rank {
  int rank = 0;  ///< Of all processes of the group, [0, size).
  int size = 1;
  int local_rank = 0;  ///< Of those on this node, [0, local_size).
  int local_size = 1;
  std::string master_addr = "127.0.0.1";  ///< Rank 0's host.
  int master_port = 29500;                ///< Rank 0 listens there.
};

/// Reads the first of these that is there; where none is, this is one process by itself:
/// - `launch` and torchrun: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE. Where torchrun itself listens at
///   MASTER_PORT (TORCHELASTIC_USE_AGENT_STORE), rank 0 does at the next one;
/// - Open MPI's mpirun: OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE;
/// - Slurm's srun: SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, the ranks of each node of SLURM_TASKS_PER_NODE, else
///   SLURM_NTASKS_PER_NODE (those of the step, SLURM_STEP_..., where it has its own). What runs in a batch script or an
///   interactive shell itself, without srun, is one process, however many tasks the job has.
/// MASTER_ADDR and MASTER_PORT say where rank 0 is. Without: the first host of SLURM_NODELIST, or this machine where
/// all ranks are on it; and a port of the job's own under Slurm and Open MPI, else torchrun's 29500. Throws Error that
/// names the variable which is missing, no number, or does not go with the others.
Rank rank_from_environment();

/// The value of a variable, none where it is not set.
using Variables = std::function<std::optional<std::string>(const std::string& name)>;
/// The same of any variables.
Rank rank_from(const Variables& variables);

}  // namespace earmark
