// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "base/error.hpp"
#include "recipe/checks.hpp"
#include "recipe/faults.hpp"
#include "recipe/load.hpp"
#include "recipe/teacher_cuts.hpp"

namespace polyphase::recipe {
namespace {

// Those that a job may have as a number of ranks, up to some thousands.
std::string divisors_of(std::int64_t number) {
  std::vector<std::string> words;
  for (std::int64_t d = 1; d <= std::min<std::int64_t>(number, 4096); ++d) {
    if (number % d == 0) words.push_back(fmt::format("{}", d));
  }
  return alternatives(words);
}

class LayoutChecks {
 public:
  LayoutChecks(const Recipe& recipe, std::int64_t num_ranks)
      : recipe_(recipe),
        num_ranks_(num_ranks),
        tensor_(recipe.parallel.tensor),
        pipeline_(recipe.parallel.pipeline),
        interleave_(recipe.parallel.interleave),
        divides_(num_ranks % recipe.parallel.ranks_of_copy() == 0) {
    for (const auto& [path, place] : recipe.places) places_[path] = {place, 0};
  }

  void check_all() {
    if (num_ranks_ % tensor_ != 0) {
      fault("parallel.tensor",
            "parallel.tensor is {}, which does not divide {} ranks; with that many it may be {}",
            tensor_, num_ranks_, divisors_of(num_ranks_));
    }
    if (num_ranks_ % tensor_ == 0 && !divides_) {
      fault("parallel.pipeline",
            "parallel.pipeline is {}, which does not divide the {} ranks of each tensor-parallel "
            "rank; it may be {}",
            pipeline_, num_ranks_ / tensor_, divisors_of(num_ranks_ / tensor_));
    }
    if (pipeline_ == 1 && interleave_ > 1) {
      fault("parallel.interleave",
            "parallel.interleave is {}, but parallel.pipeline is 1: one stage has all layers; set "
            "parallel.interleave to 1, or have more stages",
            interleave_);
    }
    check_split("model.num_heads", recipe_.model.num_heads);
    if (recipe_.model.num_key_heads > 0)
      check_split("model.num_key_heads", recipe_.model.num_key_heads);
    check_split("model.width", recipe_.model.width);
    check_split("model.feed_forward", feed_forward_of(recipe_.model));
    for (std::size_t i = 0; i < recipe_.phases.size(); ++i) {
      check_stages(i);
      if (divides_) check_batch(i);
    }
    faults_.throw_if_any();
  }

 private:
  template <class... Args>
  void fault(const std::string& path, fmt::format_string<Args...> format, Args&&... args) {
    Place place = nearest_place(places_, path);
    if (place.text.empty()) place.text = recipe_.name;
    faults_.add(place, fmt::format(format, std::forward<Args>(args)...));
  }

  void check_split(const std::string& path, std::int64_t extent) {
    if (extent % tensor_ == 0) return;
    fault(path, "{} is {}, which parallel.tensor {} does not divide; parallel.tensor {} would fit",
          path, extent, tensor_, std::gcd(extent, tensor_));
  }

  // Every chunk of every stage has a layer.
  void check_stages(std::size_t index) {
    const Phase& phase = recipe_.phases[index];
    if (phase.generate || pipeline_ == 1) return;
    const Model model = model_of(recipe_, phase);
    const std::int64_t layers =
        model.num_layers + (has_decoder(model, phase) ? num_decoder_layers_of(model) : 0);
    if (layers < pipeline_) {
      fault("parallel.pipeline",
            "parallel.pipeline is {}, but phase {} has {} layers, and each stage needs one; a "
            "pipeline of {} would fit",
            pipeline_, quoted(phase.name), layers, layers);
    } else if (layers < pipeline_ * interleave_) {
      fault(
          "parallel.interleave",
          "parallel.interleave is {}, but phase {} has {} layers, and each of {} stages needs {}; "
          "an interleave of {} would fit",
          interleave_, quoted(phase.name), layers, pipeline_, interleave_, layers / pipeline_);
    }
    if (phase.adaptation.distil && layers >= pipeline_ * interleave_)
      check_lessons(index, *phase.adaptation.distil);
  }

  // A teacher of another run is checked with that run.
  void check_lessons(std::size_t index, const Distil& distil) {
    const Phase* const teacher = distil.teacher_run ? nullptr : find_phase(recipe_, distil.teacher);
    if (teacher == nullptr) return;
    const std::string message =
        teacher_cut_fault(recipe_, index, teacher->name, model_of(recipe_, *teacher));
    if (!message.empty()) fault(phase_path(recipe_, index) + ".distil.attention", "{}", message);
  }

  void check_batch(std::size_t index) {
    const Phase& phase = recipe_.phases[index];
    if (phase.generate) return;
    const std::int64_t sequences = phase.batch.fewest_sequences();
    const std::int64_t micro_batch = micro_batch_of(phase);
    const std::int64_t data_ranks = num_ranks_ / recipe_.parallel.ranks_of_copy();
    const std::int64_t together = data_ranks * micro_batch;
    if (sequences % together == 0) return check_interleave(index, sequences, together);
    const std::string path =
        phase_path(recipe_, index) + (phase.batch.ramp ? ".batch.ramp.from" : ".batch.sequences");
    const std::int64_t below = sequences / together * together;
    fault(path,
          "{} is {}, which {} data-parallel ranks × micro-batch {} do not divide; {}{} sequences "
          "would fit, or {} data-parallel ranks",
          path, sequences, data_ranks, micro_batch, below > 0 ? fmt::format("{} or ", below) : "",
          below + together, divisors_of(sequences / micro_batch));
  }

  // As many micro-batches as there are stages go through a chunk before they go through the next.
  void check_interleave(std::size_t index, std::int64_t sequences, std::int64_t together) {
    const std::int64_t micro_batches = sequences / together;
    if (pipeline_ == 1 || interleave_ == 1 || micro_batches % pipeline_ == 0) return;
    fault("parallel.interleave",
          "parallel.interleave is {}, which takes a multiple of {} micro-batches a rank, one for "
          "each stage, but the steps of phase {} have {}; set parallel.interleave to 1, or change "
          "batch.micro_batch or batch.sequences",
          interleave_, pipeline_, quoted(recipe_.phases[index].name), micro_batches);
  }

  const Recipe& recipe_;
  std::int64_t num_ranks_;
  std::int64_t tensor_, pipeline_, interleave_;
  bool divides_;  // tensor × pipeline the ranks
  std::map<std::string, Place> places_;
  Faults faults_;
};

}  // namespace

std::string layout_words(std::int64_t tensor, std::int64_t pipeline, std::int64_t data) {
  if (pipeline == 1) return fmt::format("{} tensor × {} data", tensor, data);
  return fmt::format("{} tensor × {} pipeline × {} data", tensor, pipeline, data);
}

void check_layout(const Recipe& recipe, std::int64_t num_ranks) {
  POLYPHASE_PROMISE(num_ranks >= 1, "a job has at least one rank, not {}", num_ranks);
  LayoutChecks(recipe, num_ranks).check_all();
}

}  // namespace polyphase::recipe
