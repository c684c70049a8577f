#include "kernels/rank.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <string_view>
#include <system_error>
#include <vector>

#include "kernels/error.h"

namespace earmark {
namespace {

constexpr int kMostRanks = 1 << 20;
constexpr int kHighestPort = 65535;
/// What `srun --interactive`, which salloc can begin a shell with, calls its step.
constexpr const char* kInteractiveStep = "4294967290";

/// The names under which a launcher says who a process is.
struct Names {
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
};
constexpr Names kTorchrun{"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};
constexpr Names kOpenMpi{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
                         "OMPI_COMM_WORLD_LOCAL_SIZE"};

bool any_is_set(const Variables& variables, const Names& names) {
  return variables(names.rank) || variables(names.size) || variables(names.local_rank) || variables(names.local_size);
}

/// The variable as a number in [least, most]; `expected` says what it should be.
int number_of(const Variables& variables, const std::string& name, int least, int most, const std::string& expected) {
  const std::optional<std::string> text = variables(name);
  check(text.has_value(), name, ": expected ", expected, ", but it is not set, though others of its kind are");
  int value = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), value);
  check(parsed.ec == std::errc() && parsed.ptr == text->data() + text->size() && value >= least && value <= most, name,
        ": expected ", expected, ", got '", *text, "'");
  return value;
}

int count_of(const Variables& variables, const std::string& name, int most, const std::string& what) {
  return number_of(variables, name, 1, most, str(what, ", 1 to ", most));
}

int index_of(const Variables& variables, const std::string& name, int count, const std::string& of) {
  return number_of(variables, name, 0, count - 1, str("a number from 0 to ", count - 1, " (", of, " is ", count, ")"));
}

/// On one node a rank has one number, not two.
void check_one_node(const Rank& rank, const std::string& local_name) {
  check(rank.local_size < rank.size || rank.local_rank == rank.rank, local_name, ": expected ", rank.rank,
        " as the rank, since all ", rank.size, " are on this node, got ", rank.local_rank);
}

Rank read_named(const Variables& variables, const Names& names) {
  Rank rank;
  rank.size = count_of(variables, names.size, kMostRanks, "the number of ranks");
  rank.rank = index_of(variables, names.rank, rank.size, names.size);
  rank.local_size = count_of(variables, names.local_size, rank.size, "the number of ranks on this node");
  rank.local_rank = index_of(variables, names.local_rank, rank.local_size, names.local_size);
  check_one_node(rank, names.local_rank);
  return rank;
}

/// The first of the names that is set; where none is, the last.
std::string first_set(const Variables& variables, std::initializer_list<const char*> names) {
  std::string last;
  for (const char* name : names) {
    last = name;
    if (variables(last)) {
      break;
    }
  }
  return last;
}

/// "2(x3),1" is 2, 2, 2, 1.
std::vector<int> ranks_of_nodes(const std::string& name, const std::string& text) {
  std::string_view left = text;
  const auto valid = [&](bool so) {
    check(so, name, ": expected the ranks of each node as in '2(x3),1', got '", text, "'");
  };
  const auto read = [&] {
    int value = 0;
    const auto parsed = std::from_chars(left.data(), left.data() + left.size(), value);
    valid(parsed.ec == std::errc() && value >= 1 && value <= kMostRanks);
    left.remove_prefix(static_cast<std::size_t>(parsed.ptr - left.data()));
    return value;
  };
  const auto skip = [&](std::string_view sign) {
    const bool there = left.starts_with(sign);
    left.remove_prefix(there ? sign.size() : 0);
    return there;
  };
  std::vector<int> ranks;
  do {
    const int count = read();
    int nodes = 1;
    if (skip("(x")) {
      nodes = read();
      valid(skip(")"));
    }
    ranks.insert(ranks.end(), static_cast<std::size_t>(nodes), count);
  } while (skip(","));
  valid(left.empty());
  return ranks;
}

/// "node[003-005,9],other" begins with node003.
std::string first_host(const std::string& list) {
  std::string host;
  for (std::size_t i = 0; i < list.size() && list[i] != ','; ++i) {
    if (list[i] == '[') {
      const std::size_t first_end = list.find_first_of("-,]", i);
      host += list.substr(i + 1, first_end == std::string::npos ? first_end : first_end - i - 1);
      i = list.find(']', i);
      if (i == std::string::npos) {
        break;
      }
    } else {
      host += list[i];
    }
  }
  return host;
}

std::string slurm_hosts(const Variables& variables) {
  return variables(first_set(variables, {"SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST"})).value_or("");
}

int slurm_local_size(const Variables& variables, int size) {
  const std::string name = first_set(variables, {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"});
  if (const std::optional<std::string> text = variables(name)) {
    const std::vector<int> ranks = ranks_of_nodes(name, *text);
    const int nodes = static_cast<int>(ranks.size());
    const int node = nodes == 1 ? 0 : index_of(variables, "SLURM_NODEID", nodes, str("the nodes of ", name));
    const int here = ranks[static_cast<std::size_t>(node)];
    check(here <= size, name, ": expected at most the ", size, " ranks of all nodes, got '", *text, "'");
    return here;
  }
  if (variables("SLURM_NTASKS_PER_NODE")) {
    return std::min(size, count_of(variables, "SLURM_NTASKS_PER_NODE", kMostRanks, "the number of ranks on a node"));
  }
  const std::string hosts = slurm_hosts(variables);
  check(hosts.find_first_of(",[") == std::string::npos,
        "SLURM_TASKS_PER_NODE: expected the ranks of each node of SLURM_NODELIST ('", hosts, "'), but it is not set");
  return size;
}

Rank read_slurm(const Variables& variables) {
  const std::string size_name = first_set(variables, {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"});
  Rank rank;
  rank.size = count_of(variables, size_name, kMostRanks, "the number of ranks");
  rank.rank = index_of(variables, "SLURM_PROCID", rank.size, size_name);
  if (rank.size > 1) {
    rank.local_size = slurm_local_size(variables, rank.size);
    rank.local_rank = index_of(variables, "SLURM_LOCALID", rank.local_size, "the number of ranks on this node");
    check_one_node(rank, "SLURM_LOCALID");
  }
  return rank;
}

/// srun has started this process as one of a step's. A batch script, which is told that it were the first of all its
/// job's tasks, and a shell in an interactive step are started once: so is what runs in them.
bool started_by_srun(const Variables& variables) {
  const std::optional<std::string> step = variables("SLURM_STEP_ID");
  const bool batch_script = !step && variables("ENVIRONMENT") == "BATCH";
  return variables("SLURM_PROCID") && !batch_script && step != kInteractiveStep;
}

/// The same for all processes of a job and most likely no other's: below the ports that systems give to connections.
int port_of(std::string_view job) {
  std::uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : job) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  }
  return 20000 + static_cast<int>(hash % 10000);
}

/// Where rank 0 is: as MASTER_ADDR and MASTER_PORT say, else at `host` and the port that belongs to `job`.
void read_master(const Variables& variables, const std::string& host, const std::string& job, Rank& rank) {
  rank.master_addr = variables("MASTER_ADDR").value_or("");
  if (rank.master_addr.empty()) {
    check(!host.empty() || rank.local_size == rank.size,
          "MASTER_ADDR: expected the address of rank 0's node, since only ", rank.local_size, " of ", rank.size,
          " ranks are on this one, but it is not set");
    rank.master_addr = host.empty() ? Rank{}.master_addr : host;
  }
  if (variables("MASTER_PORT")) {
    rank.master_port = number_of(variables, "MASTER_PORT", 1, kHighestPort, str("a port, 1 to ", kHighestPort));
  } else if (!job.empty()) {
    rank.master_port = port_of(job);
  }
}

}  // namespace

Rank rank_from(const Variables& variables) {
  Rank rank;
  if (any_is_set(variables, kTorchrun)) {
    rank = read_named(variables, kTorchrun);
    read_master(variables, "", "", rank);
    if (variables("TORCHELASTIC_USE_AGENT_STORE") == "True") {  // torchrun itself listens there
      rank.master_port += rank.master_port < kHighestPort ? 1 : -1;
    }
  } else if (any_is_set(variables, kOpenMpi)) {
    rank = read_named(variables, kOpenMpi);
    read_master(variables, "", variables("PMIX_NAMESPACE").value_or(""), rank);
  } else if (started_by_srun(variables)) {
    rank = read_slurm(variables);
    const std::string job = variables("SLURM_JOB_ID").value_or("");
    read_master(variables, first_host(slurm_hosts(variables)),
                job.empty() ? job : job + "." + variables("SLURM_STEP_ID").value_or("0"), rank);
  }
  return rank;
}

Rank rank_from_environment() {
  return rank_from([](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe): nobody changes it
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
}

}  // namespace earmark
