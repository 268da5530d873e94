// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange_parts.hpp"

#include <mpi.h>

#include <algorithm>

#include "comm/mpi_check.hpp"

namespace polyphase {
namespace {

// Several parts of an array of floats as one element that MPI sends and receives in place.
class PartsType {
 public:
  explicit PartsType(const std::vector<ArrayPart>& parts) {
    std::vector<int> lengths;
    std::vector<MPI_Aint> offsets_bytes;
    for (const ArrayPart& part : parts) {
      for (std::int64_t begin = part.begin; begin < part.end; begin += kMaxCount) {
        lengths.push_back(static_cast<int>(std::min(kMaxCount, part.end - begin)));
        offsets_bytes.push_back(static_cast<MPI_Aint>(begin) * MPI_Aint{sizeof(float)});
      }
    }
    check_mpi(MPI_Type_create_hindexed(static_cast<int>(lengths.size()), lengths.data(),
                                       offsets_bytes.data(), MPI_FLOAT, &type_),
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

}  // namespace

void exchange_parts(const Communicator& ranks, float* data,
                    const std::vector<std::vector<ArrayPart>>& parts) {
  Communicator::Impl& impl = ranks.impl();
  POLYPHASE_PROMISE(static_cast<int>(parts.size()) == impl.size, "parts of {} ranks among {}",
                    parts.size(), impl.size);
  const auto back = [&impl](int distance) {
    return (impl.rank - distance + impl.size) % impl.size;
  };
  const WaitsForRanks waits(impl);
  for (int turn = 0; turn + 1 < impl.size; ++turn) {
    const PartsType sent(parts[static_cast<std::size_t>(back(turn))]);
    const PartsType received(parts[static_cast<std::size_t>(back(turn + 1))]);
    check_mpi(MPI_Sendrecv(data, 1, sent.type(), back(impl.size - 1), kExchangeTag, data, 1,
                           received.type(), back(1), kExchangeTag, impl.comm, MPI_STATUS_IGNORE),
              "MPI_Sendrecv");
  }
}

}  // namespace polyphase
