// Work that several streams do together: none of them goes on before all have come to their piece of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cudasim {

class Meeting {
 public:
  explicit Meeting(std::size_t pieces) : works_(pieces) {}
  virtual ~Meeting() = default;
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;

  /// A stream has come to its piece, which has this number among all work. The last one does what is to be done, and
  /// the meeting is over, unless hold() says that it goes on.
  void arrive(std::size_t piece, std::uint32_t work) {
    works_[piece] = work;
    if (std::ranges::find(works_, 0U) == works_.end()) {
      over_ = hold() || over_;
    }
  }
  /// Lets the streams go on, whether all had come or not.
  void end() { over_ = true; }
  bool over() const { return over_; }

  /// Whether somebody's stream will come, or has come, to this piece.
  virtual bool expects(std::size_t /*piece*/) const { return true; }

  /// Reports who did not come, and what follows from it.
  virtual void give_up() = 0;

 protected:
  virtual bool hold() = 0;
  /// By piece: the number of the work, or 0 while its stream has not come to it.
  const std::vector<std::uint32_t>& works() const { return works_; }

 private:
  std::vector<std::uint32_t> works_;
  bool over_ = false;
};

}  // namespace cudasim
