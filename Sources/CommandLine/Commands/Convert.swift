import Tincture

/// `tincture convert`.
enum ConvertCommand {
  static let spec = CommandSpec(
    name: "convert", summary: "Write a checkpoint as a GGUF file of plain floats",
    positionals: [
      .init(
        placeholder: "CHECKPOINT",
        summary: Export.source
      )
    ],
    options: [
      Export.output,
      .value(
        "type", "TYPE", hint: .choices { ["auto", "bf16", "f16", "f32"] },
        """
        Type of the matrices; norms, biases and the like are F32. 'auto', the default, keeps every \
        matrix exactly: F16 or BF16 when all of them are, else F32.
        """),
    ] + Export.options + CommonOptions.all,
    discussion: [
      """
      Every tensor of the checkpoint ends as written, merged, or left out by a rule that the report \
      names; anything else is an error. Weights pass through memory in small pieces, whatever the \
      model's size.
      """
    ],
    examples: [
      ("tincture convert gemma-3-270m -o gemma-3-270m.gguf", "the checkpoint's own precision"),
      (
        "tincture convert gemma-3-27b-it -o out.gguf --type bf16 --split-size 8G",
        "in parts of 8 GiB"
      ),
    ],
    run: { (invocation) throws(TinctureError) in
      let type = try ValueParser.choice(
        invocation.parsed.value("type") ?? "auto", option: "type",
        among: ["auto", "bf16", "f16", "f32"])
      return try Export.run(
        invocation,
        recipe: { (model) throws(TinctureError) in
          type == "auto" ? try Recipe.automatic(for: model) : try Recipe.named(type)
        })
    })
}
