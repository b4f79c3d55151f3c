/// Distinct byte strings numbered in the order of insertion, found by an open-addressing hash table.
///
/// Cost: 16 bytes a text beside the texts; one probe is about 30 ns.
package struct TokenTable: Sendable {
  package private(set) var texts = TokenTexts()
  /// Hash in the upper half, index + 1 in the lower; 0 is an empty slot. Length is a power of two.
  private var slots: [UInt64]
  /// The first of the chosen texts that another one before it equals, and that one.
  package private(set) var repeated: (index: Int, first: Int)?
  private static let seed = UInt64.random(in: .min ... .max)

  /// - Parameter capacity: how many texts will come; more may.
  package init(capacity: Int, byteCount: Int = 0) {
    texts.reserve(count: capacity, byteCount: byteCount)
    slots = [UInt64](repeating: 0, count: TokenTable.slotCount(capacity))
  }

  /// The chosen ones of texts that are there already; of equal texts the first is found. No text is copied.
  ///
  /// Cost: 16 bytes a chosen text; 262,144 texts take about 10 ms.
  package init(_ texts: TokenTexts, where isIncluded: (Int) -> Bool) {
    self.texts = texts
    slots = [UInt64](repeating: 0, count: TokenTable.slotCount(texts.count))
    let mask = slots.count - 1
    var repeated: (index: Int, first: Int)?
    texts.storage.withUnsafeBufferPointer { storage in
      slots.withUnsafeMutableBufferPointer { slots in
        for index in 0..<texts.count where isIncluded(index) {
          let text = UnsafeBufferPointer(rebasing: storage[texts.range(index)])
          let hash = TokenTable.hash(text)
          var slot = Int(truncatingIfNeeded: hash) & mask
          while slots[slot] != 0 {
            if slots[slot] >> 32 == hash {
              let other = texts.range(Int(slots[slot] & 0xFFFF_FFFF) - 1)
              if other.count == text.count, TokenTable.equal(storage, other.lowerBound, text) {
                break
              }
            }
            slot = (slot + 1) & mask
          }
          if slots[slot] == 0 {
            slots[slot] = hash << 32 | UInt64(index + 1)
          } else if repeated == nil {
            repeated = (index, Int(slots[slot] & 0xFFFF_FFFF) - 1)
          }
        }
      }
    }
    self.repeated = repeated
  }

  package var count: Int { texts.count }

  private static func slotCount(_ capacity: Int) -> Int {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    return size
  }

  /// Adds the text unless it is there already; its index and whether it is new.
  package mutating func insert(_ bytes: UnsafeBufferPointer<UInt8>) -> (index: Int, isNew: Bool) {
    if texts.count * 2 >= slots.count { grow() }
    let hash = TokenTable.hash(bytes)
    let slot = probe(bytes, hash)
    if slots[slot] != 0 { return (Int(slots[slot] & 0xFFFF_FFFF) - 1, false) }
    texts.append(bytes)
    slots[slot] = hash << 32 | UInt64(texts.count)
    return (texts.count - 1, true)
  }

  package mutating func insert(_ bytes: some Sequence<UInt8>) -> (index: Int, isNew: Bool) {
    let copy = Array(bytes)
    return copy.withUnsafeBufferPointer { insert($0) }
  }

  /// Adds the text unless it is there already; whether it is new. No copy.
  package mutating func insert(slice: ArraySlice<UInt8>) -> Bool {
    slice.withUnsafeBufferPointer { insert($0).isNew }
  }

  /// The index of the text, nil when it was never inserted.
  package func find(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    let slot = probe(bytes, TokenTable.hash(bytes))
    return slots[slot] == 0 ? nil : Int(slots[slot] & 0xFFFF_FFFF) - 1
  }

  package func find(_ bytes: some Sequence<UInt8>) -> Int? {
    let found: Int?? = bytes.withContiguousStorageIfAvailable { find($0) }
    if let found { return found }
    return Array(bytes).withUnsafeBufferPointer { find($0) }
  }

  /// The slot that holds the text, or the empty one where it belongs.
  private func probe(_ bytes: UnsafeBufferPointer<UInt8>, _ hash: UInt64) -> Int {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    return slots.withUnsafeBufferPointer { slots in
      texts.storage.withUnsafeBufferPointer { storage in
        while true {
          let entry = slots[slot]
          if entry == 0 { return slot }
          if entry >> 32 == hash {
            let range = texts.range(Int(entry & 0xFFFF_FFFF) - 1)
            if range.count == bytes.count,
              TokenTable.equal(storage, range.lowerBound, bytes)
            {
              return slot
            }
          }
          slot = (slot + 1) & mask
        }
      }
    }
  }

  /// Whether `bytes` stand in `storage` from `start`; they fit.
  private static func equal(
    _ storage: UnsafeBufferPointer<UInt8>, _ start: Int, _ bytes: UnsafeBufferPointer<UInt8>
  ) -> Bool {
    let left = UnsafeRawBufferPointer(storage)
    let right = UnsafeRawBufferPointer(bytes)
    var offset = 0
    while offset + 8 <= right.count {
      guard
        left.loadUnaligned(fromByteOffset: start + offset, as: UInt64.self)
          == right.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      else { return false }
      offset += 8
    }
    while offset < right.count {
      guard left[start + offset] == right[offset] else { return false }
      offset += 1
    }
    return true
  }

  private mutating func grow() {
    let old = slots
    slots = [UInt64](repeating: 0, count: old.count * 2)
    let mask = slots.count - 1
    for entry in old where entry != 0 {
      var slot = Int(truncatingIfNeeded: entry >> 32) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = entry
    }
  }

  /// 32 bits; seeded anew in every process so that a file cannot choose collisions.
  private static func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
    var value = seed ^ UInt64(truncatingIfNeeded: bytes.count)
    let raw = UnsafeRawBufferPointer(bytes)
    var offset = 0
    while offset + 8 <= raw.count {
      value = mix(value ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      offset += 8
    }
    var rest: UInt64 = 0
    while offset < raw.count {
      rest = rest << 8 | UInt64(raw[offset])
      offset += 1
    }
    return mix(value ^ rest) >> 32
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    return product.high ^ product.low
  }
}
