// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange_parts.hpp"

#include <mpi.h>

#include <algorithm>
#include <bit>

#include "comm/mpi_check.hpp"

namespace polyphase {
namespace {

// Several parts of an array of numbers as one element that MPI sends and receives in place.
class PartsType {
 public:
  PartsType(const std::vector<ArrayPart>& parts, MPI_Datatype number, std::size_t number_bytes) {
    std::vector<int> lengths;
    std::vector<MPI_Aint> offsets_bytes;
    for (const ArrayPart& part : parts) {
      for (std::int64_t begin = part.begin; begin < part.end; begin += kMaxCount) {
        lengths.push_back(static_cast<int>(std::min(kMaxCount, part.end - begin)));
        offsets_bytes.push_back(static_cast<MPI_Aint>(begin) * static_cast<MPI_Aint>(number_bytes));
      }
    }
    check_mpi(MPI_Type_create_hindexed(static_cast<int>(lengths.size()), lengths.data(),
                                       offsets_bytes.data(), number, &type_),
              "MPI_Type_create_hindexed");
    check_mpi(MPI_Type_commit(&type_), "MPI_Type_commit");
  }
  ~PartsType() {
    if (type_ != MPI_DATATYPE_NULL) MPI_Type_free(&type_);
  }
  PartsType(const PartsType&) = delete;
  PartsType& operator=(const PartsType&) = delete;
  MPI_Datatype type() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

template <class Number>
void exchange(const Communicator& ranks, Number* data, MPI_Datatype number,
              const std::vector<std::vector<ArrayPart>>& parts) {
  Communicator::Impl& impl = ranks.impl();
  POLYPHASE_PROMISE(static_cast<int>(parts.size()) == impl.size, "parts of {} ranks among {}",
                    parts.size(), impl.size);
  const auto back = [&impl](int distance) {
    return (impl.rank - distance + impl.size) % impl.size;
  };
  const auto type = [&](int rank) {
    return PartsType(parts[static_cast<std::size_t>(rank)], number, sizeof(Number));
  };
  const WaitsForRanks waits(impl);
  for (int turn = 0; turn + 1 < impl.size; ++turn) {
    const PartsType sent = type(back(turn)), received = type(back(turn + 1));
    check_mpi(MPI_Sendrecv(data, 1, sent.type(), back(impl.size - 1), kExchangeTag, data, 1,
                           received.type(), back(1), kExchangeTag, impl.comm, MPI_STATUS_IGNORE),
              "MPI_Sendrecv");
  }
}

}  // namespace

std::vector<OwnedPart> pieces_from_front(const std::vector<std::vector<ArrayPart>>& parts) {
  // Larger ones of large models, or there would be thousands under way.
  constexpr std::int64_t kUsualPiece = std::int64_t{1} << 20, kMostCuts = 256;
  std::int64_t total = 0;
  for (const std::vector<ArrayPart>& of_rank : parts)
    for (const ArrayPart& part : of_rank) total += part.size();
  const std::int64_t most =
      std::min(std::max(kUsualPiece, (total + kMostCuts - 1) / kMostCuts), kMaxCount);
  std::vector<OwnedPart> pieces;
  for (std::size_t rank = 0; rank < parts.size(); ++rank) {
    for (const ArrayPart& part : parts[rank]) {
      for (std::int64_t begin = part.begin; begin < part.end; begin += most)
        pieces.push_back({.owner = static_cast<int>(rank),
                          .part = {.begin = begin, .end = std::min(begin + most, part.end)}});
    }
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const OwnedPart& a, const OwnedPart& b) { return a.part.begin < b.part.begin; });
  return pieces;
}

void exchange_parts(const Communicator& ranks, float* data,
                    const std::vector<std::vector<ArrayPart>>& parts) {
  exchange(ranks, data, MPI_FLOAT, parts);
}

void exchange_parts(const Communicator& ranks, std::uint16_t* data,
                    const std::vector<std::vector<ArrayPart>>& parts) {
  exchange(ranks, data, MPI_UINT16_T, parts);
}

// Stage s pairs ranks at distance 2^s, as Communicator::sum() does. A rank goes on with the parts
// of those that it will meet.
void sum_parts(const Communicator& ranks, float* data, const std::vector<ArrayPart>& parts) {
  Communicator::Impl& impl = ranks.impl();
  POLYPHASE_PROMISE(static_cast<int>(parts.size()) == impl.size, "parts of {} ranks among {}",
                    parts.size(), impl.size);
  if (!std::has_single_bit(static_cast<unsigned>(impl.size)))
    return ranks.sum(data, parts.back().end);
  const WaitsForRanks waits(impl);
  std::vector<float> received;
  for (int stage = 0; (1 << stage) < impl.size; ++stage) {
    const int partner = impl.rank ^ (1 << stage);
    const std::vector<ArrayPart> mine = parts_of_alike(parts, impl.rank, stage + 1);
    const PartsType sent(parts_of_alike(parts, partner, stage + 1), MPI_FLOAT, sizeof(float));
    std::int64_t count = 0;
    for (const ArrayPart& part : mine) count += part.size();
    POLYPHASE_PROMISE(count <= kMaxCount, "a part of {} elements", count);
    received.resize(static_cast<std::size_t>(count));
    check_mpi(MPI_Sendrecv(data, 1, sent.type(), partner, kExchangeTag, received.data(),
                           static_cast<int>(count), MPI_FLOAT, partner, kExchangeTag, impl.comm,
                           MPI_STATUS_IGNORE),
              "MPI_Sendrecv");
    const float* next = received.data();
    for (const ArrayPart& part : mine)
      for (std::int64_t i = part.begin; i < part.end; ++i) data[i] += *next++;
  }
}

}  // namespace polyphase
