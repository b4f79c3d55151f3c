import CKernels
import TinctureCore

/// Hidden vectors of a batch of tokens, F32, and the forms that products read: doubles of them for exact arithmetic,
/// rounded ones for engine arithmetic.
///
/// Write into ``values``, set ``count``, call ``changed()``; ``Linear/multiply(_:_:tokens:arithmetic:team:into:stride:)``
/// makes each form once, when a product first asks for it. Used by one thread at a time.
package final class Activations {
  /// Elements of a token.
  package let width: Int
  /// Most tokens.
  package let capacity: Int
  /// `[capacity][width]`, row by row; 64-byte aligned. Not there when doubles are held.
  package var values: UnsafeMutablePointer<Float> {
    precondition(holding == .engine, "these activations are doubles")
    return own.assumingMemoryBound(to: Float.self)
  }
  /// Tokens in use; rows from there on are not read.
  package private(set) var count = 0

  private var buffers: [UnsafeMutableRawPointer] = []
  private let budget: MemoryBudget?
  /// ``Arithmetic/engine``: floats are held and every form is made of them. ``Arithmetic/exact``: the doubles that exact
  /// products read are held, and there is no other form.
  private let holding: Arithmetic
  private let own: UnsafeMutableRawPointer
  /// Numbers from one token to the next.
  let pitch: Int
  private var leased = 0
  /// The form each slot holds now.
  private var made: Set<UInt32> = []
  private var slots: [UInt32: tk_inputs] = [:]

  /// Room for `capacity` tokens of `width` elements.
  ///
  /// - Parameter holding: floats (``Arithmetic/engine``), of which products of both kinds make what they read, or at
  ///   once the doubles of 29 bits that exact products read.
  /// - Throws: `memory.budget` when `budget` has no room for it, `memory.exhausted` when the system has none.
  package init(
    width: Int, capacity: Int, holding: Arithmetic = .engine, budget: MemoryBudget? = nil
  ) throws(TinctureError) {
    precondition(width > 0 && capacity > 0, "\(capacity) tokens of \(width)")
    self.width = width
    self.capacity = capacity
    self.holding = holding
    self.budget = budget
    pitch = holding == .exact ? Int(tk_wide_pitch(Int64(width))) : width
    let byteCount = pitch * capacity * Numbers.size(holding)
    try budget?.lease(byteCount, for: "activations")
    leased = byteCount
    do throws(TinctureError) {
      own = try Allocation.raw(byteCount, for: "activations")
    } catch {
      budget?.giveBack(byteCount)
      throw error
    }
    buffers = [own]
    // What lies between the width and the pitch stays 0.
    if holding == .exact { own.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount) }
  }

  /// Where the numbers of a token stand.
  func place(_ token: Int) -> Numbers { Numbers(own, holding) + token * pitch }

  deinit {
    for buffer in buffers { buffer.deallocate() }
    budget?.giveBack(leased)
  }

  /// The vector of a token.
  package subscript(token: Int) -> UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: values + token * width, count: width)
  }

  /// Says that the first `count` tokens' ``values`` were written anew: the forms are made again when needed.
  package func changed(count: Int) {
    precondition(count >= 0 && count <= capacity, "\(count) tokens of \(capacity)")
    self.count = count
    made.removeAll(keepingCapacity: true)
  }

  /// The arrays that products of that form read, for all ``count`` tokens.
  func inputs(_ form: tk_form, team: Team) throws(TinctureError) -> tk_inputs {
    if holding == .exact {
      precondition(form == TK_FORM_F64, "these activations have one form")
      var inputs = tk_inputs()
      inputs.width = Int64(width)
      inputs.count = Int64(count)
      inputs.wide = UnsafePointer(own.assumingMemoryBound(to: Double.self))
      return inputs
    }
    if form == TK_FORM_F32 {
      var inputs = tk_inputs()
      inputs.width = Int64(width)
      inputs.count = Int64(count)
      inputs.values = UnsafePointer(values)
      return inputs
    }
    // Q8_1 is Q8_0 with offsets: one slot for both.
    let key = form == TK_FORM_Q8_1 ? TK_FORM_Q8_0.rawValue : form.rawValue
    let slot: tk_inputs
    if let known = slots[key] {
      slot = known
    } else {
      slot = try allocate(tk_form(rawValue: key))
      slots[key] = slot
    }
    if made.insert(key).inserted { make(tk_form(rawValue: key), slot, team) }
    var inputs = slot
    inputs.count = Int64(count)
    return inputs
  }

  private func allocate(_ form: tk_form) throws(TinctureError) -> tk_inputs {
    var slot = tk_inputs()
    slot.width = Int64(width)
    let size = width * capacity
    if form == TK_FORM_F64 {
      let pitch = Int(tk_wide_pitch(Int64(width)))
      slot.wide = UnsafePointer(try buffer(Double.self, pitch * capacity))
    } else if form == TK_FORM_F16 {
      slot.values = UnsafePointer(try buffer(Float.self, size))
    } else if form == TK_FORM_BF16 {
      slot.values = UnsafePointer(try buffer(Float.self, size))
      slot.bf16 = UnsafePointer(try buffer(UInt16.self, size))
    } else {
      let (block, group) = form.blocks
      precondition(width % block == 0, "rows of \(width) have no blocks of \(block)")
      slot.quants = UnsafePointer(try buffer(Int8.self, size))
      slot.scales = UnsafePointer(try buffer(Float.self, size / block))
      slot.sums = UnsafePointer(try buffer(Int32.self, size / group))
      slot.offsets = UnsafePointer(try buffer(Float.self, size / group))
    }
    return slot
  }

  private func buffer<T>(_ type: T.Type, _ count: Int) throws(TinctureError)
    -> UnsafeMutablePointer<T>
  {
    let byteCount = count * MemoryLayout<T>.stride
    try budget?.lease(byteCount, for: "activations")
    leased += byteCount
    let buffer = try Allocation.raw(byteCount, for: "activations")
    buffers.append(buffer)
    return buffer.bindMemory(to: type, capacity: count)
  }

  /// Makes a form of the tokens in use; tokens are independent, so threads share them.
  private func make(_ form: tk_form, _ slot: tk_inputs, _ team: Team) {
    let job = Unchecked(
      (kernels: Linear.kernels, values: UnsafePointer(values), slot: slot, width: width))
    let tokensPerChunk = max(1, 16384 / width)
    team.forEachChunk(of: count, chunk: tokensPerChunk) { tokens in
      let (kernels, values, slot, width) = job.value
      let first = tokens.lowerBound * width
      let size = Int64(tokens.count * width)
      if form == TK_FORM_F64 {
        let pitch = Int(tk_wide_pitch(Int64(width)))
        kernels.pointee.widen(
          values + first, Int64(width), Int64(tokens.count),
          UnsafeMutablePointer(mutating: slot.wide + tokens.lowerBound * pitch))
      } else if form == TK_FORM_F16 {
        kernels.pointee.round_f16(
          values + first, size, UnsafeMutablePointer(mutating: slot.values + first))
      } else if form == TK_FORM_BF16 {
        kernels.pointee.round_bf16(
          values + first, size, UnsafeMutablePointer(mutating: slot.bf16 + first),
          UnsafeMutablePointer(mutating: slot.values + first))
      } else {
        let (block, group) = form.blocks
        let quantize =
          form == TK_FORM_Q8_K ? kernels.pointee.quantize_q8_k : kernels.pointee.quantize_q8_0
        quantize?(
          values + first, size, UnsafeMutablePointer(mutating: slot.quants + first),
          UnsafeMutablePointer(mutating: slot.scales + first / block),
          UnsafeMutablePointer(mutating: slot.sums + first / group),
          UnsafeMutablePointer(mutating: slot.offsets + first / group))
      }
    }
  }
}
