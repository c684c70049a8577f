// `compose OUTDIR --tracks N --seconds S --seed K`: music (or voices) from nothing, as WAV files.
#include <iostream>

#include "data/audio_files.h"
#include "data/composer.h"
#include "data/program.h"

int main(int argc, char** argv) {
  CLI::App app("Composes music-like WAV files from a seed: for demos without a collection, and for tests.", "compose");
  std::string folder;
  earmark::data::ComposeOptions options;
  app.add_option("outdir", folder, "Folder to write into; files that are there are kept")->required();
  app.add_option("--tracks", options.tracks, "Number of tracks")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--seconds", options.seconds, "Length of each")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--seed", options.seed, "Another seed, other music")->capture_default_str();
  app.add_option("--sample-rate", options.sample_rate, "Hz")->check(CLI::Range(8000, 192000))->capture_default_str();
  app.add_flag("--speech", options.speech, "Voices instead of music, for babble noise");
  return earmark::data::run_program(app, argc, argv, [&] {
    const int written = earmark::data::compose_folder(folder, options);
    std::cout << earmark::data::printable(folder) << ": " << written << " of " << options.tracks << " tracks written, "
              << options.tracks - written << " were there\n";
    return 0;
  });
}
