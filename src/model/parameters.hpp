// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "comm/device_sum.hpp"
#include "kernels/bf16.hpp"
#include "kernels/exec.hpp"

namespace polyphase {

// The part of a dimension that one tensor-parallel rank holds: [begin, begin + size) of `whole`.
struct Split {
  std::int64_t begin = 0;
  std::int64_t size = 0;
};
Split split_evenly(std::int64_t whole, int part, int num_parts);

std::int64_t num_elements(const std::vector<std::int64_t>& shape);

enum class Initial { kNormal, kZero, kOne };

// How a parameter is declared: what is true of it on any layout, and this rank's part.
struct ParameterSpec {
  std::string name;
  std::vector<std::int64_t>
      global_shape;                    // one or two dimensions; weights of products are [out, in]
  int split_dimension = -1;            // -1: every rank holds the whole
  Split split;                         // this rank's part along split_dimension
  Initial initial = Initial::kNormal;  // normal, zeros or ones
  double deviation = 0;                // of kNormal; 0: the model's
  bool decays = true;                  // weight decay applies: not on biases and norms
  bool joins_previous = false;         // no gap before it: both can be seen as one tensor
  // It is used between products, where a rank may have but some of the rows (Pass::own()): its
  // gradient is then a part of the sum over the tensor-parallel ranks, which all hold it whole.
  bool sums_own_rows = false;
};

// The stage of a pipeline that this rank is, or the whole model. A stage has one run of
// neighbouring layers, or several that lie apart (interleaved stages: Narayanan et al., 2021,
// section 2.2.2). A run is a chunk of the model; the pipeline's chunks are dealt to the stages in
// turn.
struct PipelineStage {
  int number = 0, count = 1;
  int num_own_chunks = 1;

  int num_chunks() const { return count * num_own_chunks; }
  int chunk(int own) const { return own * count + number; }  // `own`: counted on this stage
  int stage_of(int chunk) const { return chunk % count; }
};

// One of a pipeline's chunks, counted through all of them.
struct PipelineChunk {
  int number = 0, count = 1;
  bool is_last() const { return number + 1 == count; }
};

struct Parameter {
  ParameterSpec spec;
  std::vector<int> chunks;    // that use it, by rising number; the first one's stage owns it
  bool is_own = true;         // this stage owns it: sums its gradient, updates and saves it
  bool is_passed_on = false;  // a chunk of this stage uses it that is not the first
  std::vector<std::int64_t> local_shape;  // of a stage that has it
  std::int64_t offset = 0;                // into the flat storage of values
  std::int64_t count = 0;                 // elements on this rank: 0 where it is elsewhere
  std::int64_t gradient_offset = -1;      // into what passes write; -1: it has none
  std::int64_t passed_on_offset = -1;     // likewise, into what chunks pass on
  // Of its first element in a set of gradients. Less than 0 where a set that has not all elements
  // begins behind that one.
  std::int64_t sum_offset = -1;
  // Of the whole model, the same on every stage. False: frozen; its gradient is neither exchanged
  // nor used.
  bool trained = true;

  bool is_copy() const { return is_passed_on && !is_own; }  // this stage has it beside its owner
  bool is_here() const { return is_own || is_passed_on; }
  bool is_trained_here() const { return trained && is_own; }
};

// Low-rank additions to the weights of products (Hu et al., 2022, section 4.1): where the weight is
// [out, in], its product multiplies with weight + scale · b · a, where b is [out, rank] and a is
// [rank, in].
struct Adapters {
  std::int64_t rank = 0;
  double scale = 1.0;                             // alpha / rank
  std::function<bool(const std::string&)> match;  // whether the weight of that name has one
};

// NAME.weight → NAME.lora_a, NAME.lora_b; nothing for what is no weight.
std::string adapter_a(const std::string& weight);
std::string adapter_b(const std::string& weight);
bool is_adapter(const std::string& parameter);

// Parameters that lie side by side in the flat storage: [begin, end) of its elements.
struct StorageRange {
  std::int64_t begin = 0, end = 0;
};

class GradientWrites;
class RoundedValues;
struct GradientLayout;

// All parameters of a phase by name, in one flat float32 storage in the order of declaration.
// Declared first, then allocated; until then there is no memory behind any of them, and passes can
// be counted. A parameter that joins the previous one can be seen together with it, as one tensor
// of more rows: query, key and value weights are one product.
//
// Every stage of a pipeline declares the whole model, so that numbers, and what is said of names,
// are the same everywhere; what is elsewhere has no elements. A few parameters are used by several
// chunks (a token table that is the output, too). The stage of the first one owns such a parameter;
// others have copies of its values. Chunks behind the first have a place for their part of its
// gradient, which is no part of any set: parts are added up on their way to the first chunk
// (model/shared_parameters.hpp).
//
// Gradients are one flat float32 storage too, or several of them (sets), each laid out as
// model/gradient_layout.hpp says. Passes write to one of the sets; or, where a set has but this
// rank's share, to a place beside them, which the share is copied from.
class ParameterSet {
 public:
  // Before anything is declared.
  void begin_stage(const PipelineStage& stage) {
    stage_ = stage;
    chunk_ = stage.number;
  }
  const PipelineStage& stage() const { return stage_; }
  // The chunk that layers are made of, and that passes run, from here on.
  void begin_chunk(int number) { chunk_ = number; }
  PipelineChunk chunk() const { return {.number = chunk_, .count = stage_.num_chunks()}; }
  // The chunks that use what is declared from here on.
  void place_on(std::vector<int> chunks) { chunks_ = std::move(chunks); }
  // They use what is declared already, too.
  void place_too(std::size_t number);
  // Whether passes of the chunk use a parameter, and whether it is the first one that does: of
  // those neighbours have neighbouring numbers.
  bool is_in_chunk(std::size_t number) const;
  bool begins_in_chunk(std::size_t number) const { return at(number).chunks.front() == chunk_; }
  std::size_t end_of_chunk() const;  // behind the last number that begins in it

  // Returns the parameter's number, which layers keep. A name may be declared once.
  std::size_t declare(const ParameterSpec& spec);
  // The number that the next one gets.
  std::size_t next() const { return next_; }
  // While `make` runs, the layers that it makes get the numbers of those that were made first:
  // other passes of theirs are under way at the same time.
  void declare_again(const std::function<void()>& make);

  // What the products declared from here on have; empty: nothing.
  void adapt(Adapters adapters) { adapters_ = std::move(adapters); }
  const Adapters& adapters() const { return adapters_; }

  // Makes the storage of values.
  void allocate();
  // Sets of gradients in memory of their own.
  void allocate_gradients(const GradientLayout& layout, std::size_t num_sets);
  // What passes write in the memory of the arena that they work in, from this byte on: that is the
  // one set; or there are so many sets of this rank's share in memory of their own.
  void share_gradients(const GradientLayout& layout, Arena& arena, std::size_t first_byte,
                       std::size_t num_sets_of_share = 0);
  // What is written in passes that are counted is told to it; nullptr: to nobody.
  void tell(GradientWrites* writes) { writes_ = writes; }

  // Fills every value keyed by (seed, name, element of the whole tensor): the same on any layout.
  void initialise(std::uint64_t seed, double standard_deviation);

  const std::vector<Parameter>& all() const { return parameters_; }
  const Parameter& at(std::size_t number) const { return parameters_[number]; }
  const Parameter* find(const std::string& name) const;
  void set_trained(std::size_t number, bool trained) { parameters_[number].trained = trained; }
  // Of the `span` parameters from this one on, on whatever stage; nothing in front of a number is
  // any_trained(0, it).
  bool any_trained(std::size_t number, std::size_t span) const;
  // Of the flat storage, what this stage owns, by rising begin; all of that, gaps included, when
  // every parameter is trained.
  std::vector<StorageRange> trained_ranges() const;
  std::int64_t total_count() const {
    return total_count_;
  }                                   // of this rank, with alignment gaps, which stay zero
  std::int64_t global_count() const;  // parameters of the whole model
  // Elements of the gradients that chunks pass on, which lie beside all sets.
  std::int64_t count_passed_on() const;

  // Values that other ranks have updated come while passes go on: the accessors wait for what they
  // give, and for what lies in front of it.
  void await(std::unique_ptr<PartsExchange> arriving) { arriving_ = std::move(arriving); }
  void wait_for_value(std::size_t number, std::size_t span = 1) const;
  Tensor1<float> values() const;
  // The same for who looks at nothing that is on its way.
  Tensor1<float> values_so_far() const { return Tensor1<float>(values_.data(), values_.size()); }
  Tensor1<const float> value1(std::size_t number) const;
  // The weights of `span` parameters from this one on, as one matrix: rows add up, columns are
  // equal.
  Tensor2<const float> value2(std::size_t number, std::size_t span = 1) const;
  Tensor1<const float> value_span1(std::size_t number, std::size_t span) const;
  // All parameters from `first` to before `end` as they lie in the storage, gaps included.
  std::int64_t count_between(std::size_t first, std::size_t end) const;
  Tensor1<const float> values_between(std::size_t first, std::size_t end) const;
  // The same as value2() and value_span1() in bf16, of those that has_rounded().
  bool has_rounded(std::size_t number) const;
  Tensor2<const bf16> rounded2(std::size_t number, std::size_t span = 1) const;
  Tensor1<const bf16> rounded_span1(std::size_t number, std::size_t span) const;

  std::size_t num_gradients() const { return gradients_.size(); }
  Tensor1<float> gradients(std::size_t set) const;

  // What passes write to, where that is no set; else empty.
  Tensor1<float> beside_sets() const { return beside_sets_; }
  // What this micro-batch's passes write to: that, or its set.
  Tensor1<float> written() const {
    return beside_sets_.data() != nullptr ? beside_sets_ : gradients_[gradient_set_];
  }
  // Parameter numbers, falling to 0: gradients from each of them on (to the one before) are given
  // back together, once they are final. None: they stay for the whole step.
  const std::vector<std::size_t>& stops() const { return stops_; }
  // From this stop on, gradients are given back: what is written later may take their place.
  void give_back(std::size_t stop) { given_back_ = stop; }

  // Gradients of one micro-batch in one chunk: the set that the backward pass writes to, and, for
  // each parameter, whether its first writer (which overwrites) has been: sparing a pass that sets
  // everything to zero.
  void begin_micro_batch(std::size_t set);
  Write gradient_write(std::size_t number, std::size_t span = 1);
  // The gradients are not wanted, since none of these parameters is trained.
  void skip_gradients(std::size_t number, std::size_t span);
  // A null address, with all extents, where passes are only counted, and where there is none.
  Tensor1<float> gradient1(std::size_t number, std::size_t span = 1) const;
  Tensor2<float> gradient2(std::size_t number, std::size_t span = 1) const;
  // Gives the parameters from `first` to before `end` that nothing has written to in this
  // micro-batch gradients of zero.
  void write_zeros(std::size_t first, std::size_t end);
  // Promises that every gradient of the chunk has been written, or skipped, since
  // begin_micro_batch.
  void check_all_written() const;

 private:
  friend class RoundedValues;

  std::vector<Parameter> parameters_;
  std::map<std::string, std::size_t> numbers_;
  std::size_t next_ = 0;
  PipelineStage stage_;
  int chunk_ = 0;
  std::vector<int> chunks_ = {0};
  Adapters adapters_;
  std::int64_t total_count_ = 0;
  void place(Parameter& parameter);
  void place_gradients(const GradientLayout& layout);
  void make_sets(std::int64_t count, std::size_t num_sets);

  void wait_for_values_before(std::int64_t end) const;

  Kokkos::View<float*, Memory> values_;
  mutable std::unique_ptr<PartsExchange> arriving_;  // to values_
  const RoundedValues* rounded_ = nullptr;
  std::vector<Kokkos::View<float*, Memory>> gradient_memory_;
  std::vector<Tensor1<float>> gradients_;
  Kokkos::View<float*, Memory> passed_on_;
  Tensor1<float> beside_sets_;
  std::vector<std::size_t> stops_, written_behind_;  // as in GradientLayout
  std::size_t given_back_ = 0;
  Arena* shared_arena_ = nullptr;  // that gradients lie in, from this byte on
  std::size_t first_shared_byte_ = 0;
  GradientWrites* writes_ = nullptr;
  std::size_t gradient_set_ = 0;
  std::vector<bool> written_;
};

// Until the end of the block, products find parameters [first, end) rounded to bf16 in `values`,
// which is laid out as they are, and need not round each weight for themselves. One at a time.
class RoundedValues {
 public:
  RoundedValues(ParameterSet& parameters, std::size_t first, std::size_t end, const bf16* values)
      : parameters_(parameters), first_(first), end_(end), values_(values) {
    parameters.rounded_ = this;
  }
  ~RoundedValues() { parameters_.rounded_ = nullptr; }
  RoundedValues(const RoundedValues&) = delete;
  RoundedValues& operator=(const RoundedValues&) = delete;

  bool has(std::size_t number) const { return first_ <= number && number < end_; }
  // Where a parameter begins.
  const bf16* at(std::size_t number) const {
    return values_ + (parameters_.at(number).offset - parameters_.at(first_).offset);
  }

 private:
  ParameterSet& parameters_;
  std::size_t first_, end_;
  const bf16* values_;
};

}  // namespace polyphase
