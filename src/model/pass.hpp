// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <tuple>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/stage_links.hpp"
#include "corpus/batch.hpp"
#include "kernels/attention.hpp"
#include "kernels/elementwise.hpp"
#include "kernels/embedding.hpp"
#include "kernels/exec.hpp"
#include "model/parameters.hpp"
#include "recipe/recipe.hpp"

namespace polyphase {

class KeptWeights;
class KeyValueCache;

// Noise of a pass that trains: rates of dropout (each place in the model draws with its own key)
// and of layers that are passed over.
struct PassDropout {
  float hidden = 0.0F;  // of what a sublayer adds to the residual stream
  float attention = 0.0F;
  float embedding = 0.0F;
  float head = 0.0F;      // in front of a task's head
  float layers = 0.0F;    // see Pass::skips_layer
  std::uint64_t key = 0;  // of (seed, phase)
  std::int64_t step = 0;  // keys the layers passed over
};

// The rows of a micro-batch on their way through a stack of layers, in the execution space's memory
// (taken from the arena).
struct Pass {
  const Exec& exec;
  const Communicator& tensor;  // the ranks that share this copy of the model
  const Batch& batch;
  const Rows& rows;           // the batch's own or its source
  std::int64_t num_rows = 0;  // N, with the padding rows behind the last sequence
  Sequences sequences;
  Tensor1<const std::int32_t> tokens_N, positions_N, segments_N;
  DeviceRowGroups token_groups, position_groups, segment_groups;  // training only
  Tensor1<const std::uint64_t> row_ids_N;
  PassDropout dropout;
  bool training = false;
  recipe::Recompute recompute = recipe::Recompute::kNone;  // of a pass that trains
  // R-Drop (Wu et al., 2021): above 0, the second half of the batch's sequences are those of the
  // first under other masks, and heads add so much of the divergence between both (see
  // objective/divergence.hpp).
  float r_drop = 0.0F;
  // Whether the tensor-parallel ranks divide the rows of all that lies between products: the
  // residual stream, norms, dropout (Korthikanti et al., 2022, section 4.2.2).
  bool divides_rows = false;
  // Of a pipeline, what leads to its other stages, and the chunk that the rows are in; nullptr:
  // this rank has all layers.
  StageLinks* links = nullptr;
  PipelineChunk chunk;
  // Generation: where attention finds the rows of earlier passes; else nullptr.
  KeyValueCache* cache = nullptr;
  // Generation: where products find the weights that earlier passes have made; else nullptr.
  KeptWeights* kept_weights = nullptr;

  // The rows that this tensor-parallel rank has between products: its part of them, or all.
  Split own() const;
  template <class T>
  Tensor2<T> own_rows(const Tensor2<T>& x_NC) const {
    return polyphase::rows(x_NC, own().begin, own().size);
  }

  // Dropout of the given rate at a place, numbered through the model: of all rows, or the own ones.
  Dropout dropout_at(std::uint64_t place, float rate) const;
  Dropout own_dropout_at(std::uint64_t place, float rate) const;
  // Whether the layer at this place is passed over in this step (layer drop, Fan et al., 2020). The
  // draw is a step's rather than a micro-batch's, so that all micro-batches and ranks agree however
  // a step is divided among them, and what is passed over costs no rank anything.
  bool skips_layer(std::uint64_t place) const;
  // Sums over the tensor-parallel ranks, when there is something to sum.
  void sum_over_tensor_ranks(Tensor2<float> x) const;

  // From products to what lies between them: sums the partial sums that the tensor-parallel ranks
  // have of all rows, and gives each its own rows of the sum. The others' are spoilt.
  void sum_own_rows(Tensor2<float> x_NC) const;
  // And back: from each rank's own rows all of them. Each is the other's conjugate.
  template <class Real>
  void gather_own_rows(Tensor2<Real> x_NC) const;
  // What goes on from a chunk of a pipeline to the next one, and gradients back: to or from the
  // chunk at that distance. The float32 of rows arrives as it was sent.
  static constexpr int kBefore = -1, kBehind = 1;
  using Subject = StageLinks::Subject;
  void send(int distance, Tensor2<const float> rows, Subject subject = Subject::kRows) const;
  void receive(int distance, Tensor2<float> rows, Subject subject = Subject::kRows) const;
  bool has_chunk(int distance) const;
  void poll_links() const;  // now and then

  // The same of own rows that lie elsewhere, gathered in x_NC, unless they are all of them.
  Tensor2<const float> all_rows(Tensor2<const float> own_NC, Tensor2<float> x_NC) const;
};

// Copies the rows, the batch's own or its source, to the device. The pass is valid until the arena
// is released below it.
Pass begin_pass(const Exec& exec, const Communicator& tensor, const Batch& batch, const Rows& rows,
                const PassDropout& dropout, bool training);

// A host array in the arena.
template <class T>
Tensor1<const T> upload(const Exec& exec, const std::vector<T>& values);

// Several of them in one copy.
template <class... T>
std::tuple<Tensor1<const T>...> upload_all(const Exec& exec, const std::vector<T>&... arrays) {
  const auto num_bytes = [](const auto& array) {
    const std::size_t bytes = array.size() * sizeof(array[0]);
    return (bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
  };
  const auto all_bytes = static_cast<std::int64_t>((num_bytes(arrays) + ... + std::size_t{0}));
  const Tensor1<std::byte> device = exec.arena->take1<std::byte>(all_bytes);
  std::vector<std::byte> host(exec.counting() ? 0 : static_cast<std::size_t>(all_bytes));
  std::size_t at = 0;
  const auto place = [&]<class E>(const std::vector<E>& array) {
    if (!exec.counting() && !array.empty())
      std::memcpy(host.data() + at, array.data(), array.size() * sizeof(E));
    const Tensor1<const E> placed(
        exec.counting() ? nullptr : reinterpret_cast<const E*>(device.data() + at), array.size());
    at += num_bytes(array);
    return placed;
  };
  const std::tuple<Tensor1<const T>...> placed{place(arrays)...};  // braces: in this order
  if (!exec.counting()) copy_to_device(exec, device, host.data());
  return placed;
}

// A tensor's elements on the host; zeros when the arena is counting.
template <class T>
std::vector<T> download(const Exec& exec, Tensor1<const T> values);

}  // namespace polyphase
