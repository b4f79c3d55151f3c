import CKernels
import TinctureBlocks
import TinctureCore

/// Products of weight matrices with batches of activations.
package enum Linear {
  /// Computes `output[i * stride + row] = sum(weights[row] * activations[tokens[i]])` for every row.
  ///
  /// With ``Arithmetic/exact`` a product depends on its row and its token only; with ``Arithmetic/engine`` on the
  /// instruction set and the number of tokens as well, never on the number of threads. `clinear.h` states the order of
  /// additions.
  ///
  /// - Parameters:
  ///   - tokens: which of `activations.count` tokens; output row 0 is the first of them.
  ///   - team: the threads that share the rows.
  ///   - output: room for `(tokens.count - 1) * stride + weights.rowCount` values.
  ///   - stride: distance of the outputs of two tokens, at least `weights.rowCount`.
  /// - Throws: `memory.budget` when a rounded form of the activations does not fit the budget.
  /// - Complexity: rows × row length × tokens multiplications; no allocation after the first product of each form.
  package static func multiply(
    _ weights: WeightMatrix, _ activations: Activations, tokens: Range<Int>, arithmetic: Arithmetic,
    team: Team, into output: UnsafeMutablePointer<Float>, stride: Int
  ) throws(TinctureError) {
    precondition(
      weights.rowLength == activations.width, "\(weights.rowLength) by \(activations.width)")
    precondition(tokens.lowerBound >= 0 && tokens.upperBound <= activations.count, "\(tokens)")
    precondition(stride >= weights.rowCount, "stride \(stride) for \(weights.rowCount) rows")
    if tokens.isEmpty || weights.rowCount == 0 { return }
    let id = Int32(weights.format.id)
    let form = arithmetic == .engine ? tk_engine_form(id) : TK_FORM_F64
    let inputs = try activations.inputs(form, team: team).part(tokens, form)
    let job = Unchecked((kernels: kernels, inputs: inputs, output: output))
    forEachPart(of: weights, tokens.count, team) { bytes, rows in
      let (kernels, inputs, output) = job.value
      withUnsafePointer(to: inputs) { inputs in
        kernels.pointee.multiply(
          id, arithmetic == .engine ? 1 : 0, bytes, Int64(rows.count), inputs,
          output + rows.lowerBound, Int64(stride))
      }
    }
  }

  /// The same for all tokens in exact arithmetic, not rounded.
  static func multiply(
    _ weights: WeightMatrix, _ activations: Activations, team: Team,
    into output: UnsafeMutablePointer<Double>, stride: Int
  ) throws(TinctureError) {
    try multiplyAll(weights, activations, team: team, into: output, stride: stride) {
      kernels, bytes, rows, inputs, output in
      kernels.multiply_wide(
        Int32(weights.format.id), bytes, Int64(rows), inputs, output, Int64(stride))
    }
  }

  /// Logits in exact arithmetic: all tokens, activations rounded to single precision, products added in it. Nothing is
  /// computed from logits, so the rounding goes no further.
  static func multiplySingle(
    _ weights: WeightMatrix, _ activations: Activations, team: Team,
    into output: UnsafeMutablePointer<Float>, stride: Int
  ) throws(TinctureError) {
    try multiplyAll(weights, activations, team: team, into: output, stride: stride) {
      kernels, bytes, rows, inputs, output in
      kernels.multiply_single(
        Int32(weights.format.id), bytes, Int64(rows), inputs, output, Int64(stride))
    }
  }

  /// Hands `kernel` parts of the rows (their bytes and number), all tokens as doubles, and where the first row's sum of
  /// the first token goes.
  private static func multiplyAll<Sum>(
    _ weights: WeightMatrix, _ activations: Activations, team: Team,
    into output: UnsafeMutablePointer<Sum>, stride: Int,
    _ kernel:
      @Sendable (
        tk_linear, UnsafePointer<UInt8>, Int, UnsafePointer<tk_inputs>, UnsafeMutablePointer<Sum>
      ) -> Void
  ) throws(TinctureError) {
    precondition(
      weights.rowLength == activations.width, "\(weights.rowLength) by \(activations.width)")
    precondition(stride >= weights.rowCount, "stride \(stride) for \(weights.rowCount) rows")
    if activations.count == 0 || weights.rowCount == 0 { return }
    let inputs = try activations.inputs(TK_FORM_F64, team: team)
    let job = Unchecked((kernels: kernels, inputs: inputs, output: output))
    forEachPart(of: weights, activations.count, team) { bytes, rows in
      let (kernels, inputs, output) = job.value
      withUnsafePointer(to: inputs) { inputs in
        kernel(kernels.pointee, bytes, rows.count, inputs, output + rows.lowerBound)
      }
    }
  }

  /// Shares the rows among the team's threads.
  private static func forEachPart(
    of weights: WeightMatrix, _ tokenCount: Int, _ team: Team,
    _ body: @Sendable (UnsafePointer<UInt8>, Range<Int>) -> Void
  ) {
    team.forEachChunk(of: weights.rowCount, chunk: chunk(weights, tokenCount, team.threads)) {
      rows in
      let bytes = weights.bytes + rows.lowerBound * weights.rowByteCount
      body(bytes.assumingMemoryBound(to: UInt8.self), rows)
    }
  }

  /// Rows a thread takes at once: a multiple of the kernels' tile, enough work to pay for taking it.
  private static func chunk(_ weights: WeightMatrix, _ tokenCount: Int, _ threads: Int) -> Int {
    let tile = 32
    let share = (weights.rowCount + 4 * threads - 1) / (4 * threads)
    let worthwhile = 131_072 / (weights.rowLength * tokenCount)
    return max(tile, max(min(share, 1024), worthwhile) / tile * tile)
  }

  /// The kernels in use.
  static var kernels: UnsafePointer<tk_linear> {
    guard let kernels = tk_linear_select() else {
      preconditionFailure("TINCTURE_ISA is wrong and InstructionSet.check() was not called")
    }
    return kernels
  }
}

extension tk_inputs {
  /// The same for a range of the tokens.
  func part(_ tokens: Range<Int>, _ form: tk_form) -> tk_inputs {
    var part = self
    let first = tokens.lowerBound
    let width = Int(width)
    let (block, group) = form.blocks
    part.count = Int64(tokens.count)
    part.wide = wide.map { $0 + first * Int(tk_wide_pitch(Int64(width))) }
    part.values = values.map { $0 + first * width }
    part.bf16 = bf16.map { $0 + first * width }
    part.quants = quants.map { $0 + first * width }
    part.scales = scales.map { $0 + first * (width / block) }
    part.sums = sums.map { $0 + first * (width / group) }
    part.offsets = offsets.map { $0 + first * (width / group) }
    return part
  }
}

extension tk_form {
  /// Elements that share a scale, and elements that share a sum.
  var blocks: (scale: Int, sum: Int) { self == TK_FORM_Q8_K ? (256, 16) : (32, 32) }
}
