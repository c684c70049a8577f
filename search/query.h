// From a sound file to an answer: decode, and recognise (recognizer.h). Short queries are matched as a whole, long ones
// are searched for stretches.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "nn/fingerprinter.h"
#include "search/matcher.h"
#include "search/recognizer.h"
#include "search/stretches.h"

namespace earmark::search {

/// The format of an index made with `model`. `hop_frames` 0: the model's.
IndexFormat format_of(const nn::Model& model, int hop_frames, Precision precision, ScaleMode scale);

/// The model that an index was made with. Throws Error where the file is missing, damaged or another model.
nn::Model load_model_of(const std::filesystem::path& index, const IndexFormat& format);
/// The same, ready on `device`.
nn::Fingerprinter load_fingerprinter(const std::filesystem::path& index, const IndexFormat& format, Device device = {});

/// Frames between the database's fingerprints.
int hop_frames_of(const nn::Model& model, const IndexFormat& format);

/// Query fingerprints for each hop of the database; `query_hop_s` 0: one. Throws Error where it does not divide that.
int query_ratio(const IndexFormat& format, double query_hop_s);

struct QueryOptions {
  double whole_s = 15;     // longer queries are searched for stretches
  StretchOptions stretch;  // its hop and segment come from the index
};

struct Answer {
  std::string path;   // of the query, as given
  std::string error;  // why there is no answer
  std::string note;   // what is odd about the query
  double length_s = 0;
  bool whole = true;  // matches[0..] are of the whole query; else stretches are filled
  std::vector<Match> matches;
  std::vector<Stretch> stretches;
};

/// Everything that answers queries against one index, on the device that the index was opened for.
class Searcher {
 public:
  /// `query_hop_s` 0: the index's hop. Throws Error where it does not divide that.
  Searcher(const IndexStore& store, const MatcherOptions& options, QueryOptions query = {}, double query_hop_s = 0);

  /// Never throws for a bad file: Answer::error says what is wrong. Throws DeviceFailure when the GPU fails, which ends
  /// all searching. Safe to call from several threads.
  Answer answer(const std::filesystem::path& file) const;
  Answer answer(std::span<const float> pcm) const;
  /// Many files together: one pass of the encoder and of the search for all that are short.
  std::vector<Answer> answer(std::span<const std::filesystem::path> files) const;
  /// How many files one call should be given, of so many in all: one on the CPU, where each thread answers by itself.
  std::size_t files_at_once(std::size_t files) const;
  const Recognizer& recognizer() const { return *recognizer_; }

 private:
  /// A recording on its way to an answer.
  struct Recording {
    Answer answer;
    std::vector<float> samples;
    bool searched_for = false;  // there is something in it
  };
  Recording open(const std::filesystem::path& file) const;
  /// Says what there is to say before the search; whether there is one.
  bool look_at(std::span<const float> pcm, Answer& answer) const;
  void search_for(std::span<const float> pcm, Answer& answer) const;
  void search_for_all(const std::vector<Recording*>& short_ones) const;

  const IndexStore& store_;
  QueryOptions query_;
  std::unique_ptr<Recognizer> recognizer_;
};

}  // namespace earmark::search
