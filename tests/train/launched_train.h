// `launch` with `train` as its ranks: what its tests share.
#pragma once

#include <string>
#include <vector>

#include "kernels/error.h"
#include "tests/train/example_run.h"
#include "tests/train/train_program.h"

namespace earmark::train {

class LaunchedTrain : public TrainProgram {
 protected:
  /// `launch` with its options and `train`, a new run in the folder `out` or, started again, the same; each rank leaves
  /// its number in pid-<rank>-<restart>.
  std::vector<std::string> launched(const std::vector<std::string>& options, const std::string& out,
                                    const std::vector<std::string>& overrides = {}) const {
    const fs::path programs = fs::read_symlink("/proc/self/exe").parent_path();
    const std::string script = "echo $$ >\"$1/pid-$RANK-$TORCHELASTIC_RESTART_COUNT\"; shift; exec \"$@\"";
    std::vector<std::string> all = options;
    all.insert(all.end(), {"sh", "-c", script, "rank", folder_.path().string(), (programs / "train").string()});
    const std::vector<std::string> training = arguments(out, overrides);
    all.insert(all.end(), training.begin(), training.end());
    all.insert(all.end(), {"--device", "cpu"});
    return all;
  }
  /// The process of a rank; 0: it has not come so far.
  int process_of(int rank, int restart) const {
    const std::string text = bytes_of(folder_ / str("pid-", rank, "-", restart));
    return text.ends_with('\n') ? std::stoi(text) : 0;
  }
  std::int64_t logged(const std::string& out) const { return lines_of(folder_ / out / "log.csv") - 1; }
  void expect_same_runs(const std::string& a, const std::string& b) const {
    for (const fs::path name : {"model.safetensors", "best.safetensors"}) {
      EXPECT_TRUE(bytes_of(folder_ / a / name) == bytes_of(folder_ / b / name)) << name;
    }
    EXPECT_EQ(timeless(folder_ / a / "log.csv"), timeless(folder_ / b / "log.csv"));
  }
};

}  // namespace earmark::train
