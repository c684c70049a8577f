#include "search/prepared_audio.h"

#include <utility>

#include "kernels/device_failure.h"
#include "kernels/error.h"
#include "search/landmark_excerpts.h"

namespace earmark::search {

PreparedAudio prepare_audio(const AudioSource& source, const std::set<std::string>& known, const IndexFormat& format,
                            const Embedder& embedder, std::size_t files) {
  PreparedAudio prepared;
  try {
    prepared.hash = content_hash(source.file);
    if (known.contains(prepared.hash)) {
      return prepared;
    }
    data::DecodedAudio audio = data::decode_file(source.file, {format.sample_rate, data::Channel::mean, false});
    prepared.seconds = static_cast<double>(audio.samples.size()) / format.sample_rate;
    prepared.damage = audio.problem;
    prepared.tags = std::move(audio.tags);
    if (static_cast<std::int64_t>(audio.samples.size()) < format.segment_samples) {
      prepared.problem = str("too short: ", prepared.seconds, " s, one fingerprint needs ", format.segment_seconds());
    } else if (is_silent(audio.samples)) {
      prepared.problem = "silent";
    } else {
      prepared.fingerprints = embedder(audio.samples);
      if (prepared.fingerprints.dim(0) == 0) {
        prepared.problem = "nothing in it stands out";
      } else if (format.landmarks) {
        for (const std::vector<Landmark>& excerpt :
             excerpts_of(audio.samples, *format.landmarks, wanted_excerpts(prepared.hash, files))) {
          prepared.excerpts.push_back(bytes_of(excerpt));
        }
      }
    }
  } catch (const DeviceFailure&) {  // no other file can be added either
    throw;
  } catch (const Error& error) {
    prepared.problem = error.what();
  }
  return prepared;
}

}  // namespace earmark::search
