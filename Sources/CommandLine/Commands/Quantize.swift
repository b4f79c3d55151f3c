import Tincture

/// `tincture quantize`.
enum QuantizeCommand {
  static let spec = CommandSpec(
    name: "quantize", summary: "Write a checkpoint or a GGUF model as a quantized GGUF file",
    positionals: [
      .init(
        placeholder: "CHECKPOINT|MODEL.gguf",
        summary: Export.source
      )
    ],
    options: [
      Export.output,
      .value(
        "recipe", "NAME", hint: .choices { Export.recipeNames },
        """
        Which type each tensor gets: \(Export.recipeNames.joined(separator: " ")). \
        'tincture inspect CHECKPOINT --plan NAME' shows the choices and the size.
        """),
      .value(
        "importance", "IMATRIX", hint: .path,
        "An importance matrix of llama-imatrix (GGUF, or the older .dat) that leads the encoder."),
    ] + Export.options + CommonOptions.all,
    discussion: [
      """
      Goes straight from the checkpoint's weights to the quantized file; there is no 16-bit file in \
      between. The types are those llama-quantize chooses, and the same input, recipe and importance \
      matrix always give the same bytes.
      """
    ],
    examples: [
      ("tincture quantize gemma-3-270m -o q4.gguf --recipe q4_k_m", "straight from safetensors"),
      (
        "tincture quantize bf16.gguf -o iq4.gguf --recipe iq4_xs --importance imatrix.gguf",
        "from a GGUF file, led by an importance matrix"
      ),
      (
        "tincture quantize gemma-3-270m -o q4.gguf --recipe q4_k_m --tensor-type ffn_down=q6_k --dry-run",
        "what a type of your own would cost"
      ),
    ],
    run: { (invocation) throws(TinctureError) in
      let recipe = try Recipe.named(try invocation.required("recipe"))
      let statistics: StatisticsFile?
      if let path = invocation.parsed.value("importance") {
        statistics = try StatisticsFile.open(path)
      } else {
        statistics = nil
      }
      return try Export.run(
        invocation, recipe: { (_) throws(TinctureError) in recipe }, statistics: statistics)
    })
}
