import TinctureCore

/// Plots as inline SVG: no script, colours by the page's style sheet.
struct Plot {
  static let width = 920.0
  static let height = 260.0
  static let left = 64.0
  static let bottom = 40.0
  static let top = 12.0

  static var innerWidth: Double { width - left - 12 }
  static var innerHeight: Double { height - top - bottom }

  /// A logarithmic axis over whole decades that hold all positive values.
  struct LogAxis {
    let low: Int
    let high: Int

    /// Values at or below 10^`floor` are drawn at the axis' foot.
    init(_ values: [Double], floor: Int) {
      let positive = values.filter { $0.isFinite && $0 > 0 }
      func decade(_ value: Double, _ rule: FloatingPointRoundingRule) -> Int {
        Int((Elementary.logarithm(value) / Elementary.logarithm(10)).rounded(rule))
      }
      let least = positive.min().map { max(floor, decade($0, .down)) } ?? floor
      low = least
      high = max(least + 1, positive.max().map { decade($0, .up) } ?? least + 1)
    }

    /// 0 at the foot, 1 at the top; outside values at the ends.
    func share(_ value: Double) -> Double {
      if value.isNaN { return 1 }
      guard value > 0 else { return 0 }
      if value == .infinity { return 1 }
      let place = Elementary.logarithm(value) / Elementary.logarithm(10)
      return min(1, max(0, (place - Double(low)) / Double(high - low)))
    }

    /// Decades to label: at most eight.
    var marks: [Int] {
      let step = max(1, (high - low + 7) / 8)
      return Array(stride(from: low, through: high, by: step))
    }
  }

  private var parts: [String] = []
  private let label: String

  init(_ label: String) { self.label = label }

  static func x(_ share: Double) -> Double { left + share * innerWidth }
  static func y(_ share: Double) -> Double { top + (1 - share) * innerHeight }

  private static func number(_ value: Double) -> String { Figure.fixed(max(0, value), 1) }

  mutating func line(
    _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String
  ) {
    let n = Plot.number
    parts.append(
      "<line class=\"\(style)\" x1=\"\(n(x1))\" y1=\"\(n(y1))\" x2=\"\(n(x2))\" y2=\"\(n(y2))\"/>")
  }

  mutating func text(_ x: Double, _ y: Double, _ text: String, _ style: String) {
    parts.append(
      "<text class=\"\(style)\" x=\"\(Plot.number(x))\" y=\"\(Plot.number(y))\">\(Markup.escaped(text))</text>"
    )
  }

  mutating func bar(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String, title: String
  ) {
    let n = Plot.number
    parts.append(
      "<rect class=\"\(style)\" x=\"\(n(x))\" y=\"\(n(y))\" width=\"\(n(width))\" height=\"\(n(height))\"><title>\(Markup.escaped(title))</title></rect>"
    )
  }

  mutating func path(_ points: [(x: Double, y: Double)], _ style: String) {
    let n = Plot.number
    let steps = points.enumerated().map {
      ($0.offset == 0 ? "M" : "L") + n($0.element.x) + " " + n($0.element.y)
    }
    parts.append("<path class=\"\(style)\" d=\"\(steps.joined())\"/>")
  }

  /// Horizontal lines at powers of ten, labelled.
  mutating func rows(_ axis: LogAxis) {
    for mark in axis.marks {
      let y = Plot.y(axis.share(Elementary.power(10, Double(mark))))
      line(Plot.left, y, Plot.x(1), y, "grid")
      text(Plot.left - 6, y + 4, mark == 0 ? "1" : mark == 1 ? "10" : "1e\(mark)", "tick end")
    }
  }

  /// A dashed line at a limit.
  mutating func limit(_ value: Double, _ axis: LogAxis, _ words: String) {
    let y = Plot.y(axis.share(value))
    line(Plot.left, y, Plot.x(1), y, "limit")
    text(Plot.x(1) - 2, y - 4, words, "tick end bad")
  }

  mutating func caption(_ words: String) {
    text(Plot.x(0.5), Plot.height - 6, words, "tick middle")
  }

  var svg: String {
    "<svg role=\"img\" aria-label=\"\(Markup.escaped(label))\" viewBox=\"0 0 \(Int(Plot.width)) \(Int(Plot.height))\">"
      + parts.joined() + "</svg>"
  }
}

extension Plot {
  /// Largest and mean divergence of runs of neighbouring positions, over all prompts in order.
  static func divergence(_ measures: Measures, limit: Double?) -> String {
    let positions = measures.positions
    let binCount = min(positions.count, 460)
    var bins: [(mean: Double, largest: Double, first: Int, last: Int)] = []
    for bin in 0..<binCount {
      let range = bin * positions.count / binCount..<(bin + 1) * positions.count / binCount
      let values = positions[range].map(\.divergence)
      bins.append(
        (
          values.reduce(0, +) / Double(values.count), values.max() ?? 0, range.lowerBound,
          range.upperBound - 1
        ))
    }
    var plot = Plot("divergence per position")
    let axis = LogAxis(
      bins.flatMap { [$0.mean, $0.largest] } + (limit.map { [$0] } ?? []), floor: -9)
    plot.rows(axis)
    let step = Plot.innerWidth / Double(max(1, binCount))
    var points: [(Double, Double)] = []
    for (index, bin) in bins.enumerated() {
      let share = axis.share(bin.largest)
      let place = positions[bin.first]
      plot.bar(
        Plot.x(0) + Double(index) * step, Plot.y(share), max(0.6, step * 0.8),
        share * Plot.innerHeight, "bar",
        title:
          "prompt \(place.prompt), from position \(place.position): largest \(Figure.text(bin.largest)), mean \(Figure.text(bin.mean))"
      )
      points.append((Plot.x(0) + (Double(index) + 0.5) * step, Plot.y(axis.share(bin.mean))))
    }
    plot.path(points, "mean")
    if let limit, limit > 0 { plot.limit(limit, axis, "limit of the mean") }
    var previous = -1
    let promptCount = Set(positions.map(\.prompt)).count
    for (index, position) in positions.enumerated() where position.prompt != previous {
      previous = position.prompt
      let x = Plot.x(Double(index) / Double(positions.count))
      if index > 0, promptCount <= 64 {
        plot.line(x, Plot.top, x, Plot.height - Plot.bottom, "prompt")
      }
    }
    let neighbours = positions.count / max(1, binCount)
    plot.caption(
      "positions of all prompts in order"
        + (neighbours > 1
          ? "; bars: largest of \(neighbours) or so neighbours, line: their mean" : ""))
    return plot.svg
  }

  /// How many positions have which divergence.
  static func histogram(_ measures: Measures) -> String {
    let values = measures.sortedDivergences
    let axis = LogAxis(values, floor: -9)
    let binCount = 48
    var counts = [Int](repeating: 0, count: binCount)
    for value in values {
      counts[min(binCount - 1, Int(axis.share(value) * Double(binCount)))] += 1
    }
    let most = Double(max(1, counts.max() ?? 1))
    var plot = Plot("histogram of divergence")
    for share in [0.25, 0.5, 0.75, 1.0] {
      let y = Plot.y(share)
      plot.line(Plot.left, y, Plot.x(1), y, "grid")
      plot.text(
        Plot.left - 6, y + 4, Figure.percent(share * most / Double(max(1, values.count))),
        "tick end")
    }
    let step = Plot.innerWidth / Double(binCount)
    for (index, count) in counts.enumerated() {
      let share = Double(count) / most
      plot.bar(
        Plot.x(0) + Double(index) * step, Plot.y(share), step * 0.9, share * Plot.innerHeight,
        "bar", title: "\(count) positions")
    }
    for mark in axis.marks {
      let x = Plot.x(axis.share(Elementary.power(10, Double(mark))))
      plot.text(
        x, Plot.height - Plot.bottom + 16, mark == 0 ? "1" : mark == 1 ? "10" : "1e\(mark)",
        "tick middle")
    }
    for (fraction, words) in [(0.5, "median"), (0.99, "p99")] {
      let x = Plot.x(axis.share(measures.divergence(at: fraction)))
      plot.line(x, Plot.top, x, Plot.height - Plot.bottom, "limit quiet")
      plot.text(x + 3, Plot.top + (fraction == 0.5 ? 10 : 24), words, "tick")
    }
    plot.caption("KL divergence of a position, nats")
    return plot.svg
  }

  /// The error of the hidden states, stage by stage.
  static func stages(_ stages: [StageMeasure], limit: Double?, departure: Departure?) -> String {
    var plot = Plot("error per layer")
    let axis = LogAxis(
      stages.map(\.normalizedError) + (limit.map { [$0] } ?? []), floor: -16)
    plot.rows(axis)
    let step = Plot.innerWidth / Double(max(1, stages.count))
    let every = max(1, stages.count / 24)
    for (index, stage) in stages.enumerated() {
      let share = axis.share(stage.normalizedError)
      plot.bar(
        Plot.x(0) + (Double(index) + 0.1) * step, Plot.y(share), step * 0.8,
        max(share * Plot.innerHeight, 1), stage.stage == departure?.stage ? "bar first" : "bar",
        title: "\(stage.name): \(Figure.text(stage.normalizedError))")
      if index % every == 0 || index == stages.count - 1 {
        let words =
          stage.layer.map { "\($0)" } ?? (index == 0 ? "emb" : "norm")
        plot.text(
          Plot.x(0) + (Double(index) + 0.5) * step, Plot.height - Plot.bottom + 16, words,
          "tick middle")
      }
    }
    if let limit, limit > 0 { plot.limit(limit, axis, "limit") }
    plot.caption("input embeddings, output of each layer, final norm")
    return plot.svg
  }

  /// An encoder's error, prompt by prompt.
  static func prompts(_ prompts: [ParityReport.PromptSummary], limit: Double?) -> String {
    let own = prompts.filter { $0.vectorError != nil }
    var plot = Plot("error per prompt")
    let axis = LogAxis(own.compactMap(\.vectorError) + (limit.map { [$0] } ?? []), floor: -16)
    plot.rows(axis)
    let binCount = min(460, own.count)
    let step = Plot.innerWidth / Double(max(1, binCount))
    for bin in 0..<binCount {
      let range = bin * own.count / binCount..<(bin + 1) * own.count / binCount
      let largest = own[range].compactMap(\.vectorError).max() ?? 0
      let share = axis.share(largest)
      plot.bar(
        Plot.x(0) + (Double(bin) + 0.1) * step, Plot.y(share), max(0.6, step * 0.8),
        max(1, share * Plot.innerHeight), "bar",
        title: "prompt \(own[range.lowerBound].prompt): \(Figure.text(largest))")
    }
    if let limit, limit > 0 { plot.limit(limit, axis, "limit") }
    plot.caption("prompts in order")
    return plot.svg
  }
}
