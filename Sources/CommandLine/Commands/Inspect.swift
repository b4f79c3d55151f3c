import Tincture

/// `tincture inspect`.
enum InspectCommand {
  static let spec = CommandSpec(
    name: "inspect", summary: "Say what is in a checkpoint or GGUF file, and what would be written",
    positionals: [
      .init(
        placeholder: "PATH",
        summary: Export.source
      )
    ],
    options: [
      .flag("tensors", "List every tensor of the source."),
      .value(
        "plan", "RECIPE", hint: .choices { Export.recipeNames },
        "Show what this recipe would write: each tensor's type and the reason for it, and the sizes."
      ),
      .value(
        "pre-tokenizer", "NAME",
        "llama.cpp's name of the pre-tokenizer, when the checkpoint's own is not recognised."),
    ] + CommonOptions.all,
    discussion: [
      """
      Reads headers, configuration and tokenizer, and writes nothing (--force and --dry-run change \
      nothing). Of the weights it reads only an output head that the configuration ties to the token \
      embedding, to see whether they are the same.
      """
    ],
    examples: [
      ("tincture inspect gemma-3-270m", "architecture, parameters, notes"),
      (
        "tincture inspect gemma-3-270m --plan q4_k_m",
        "every tensor's type, and the size of the file"
      ),
    ],
    run: { (invocation) throws(TinctureError) in
      let checkpoint = try Checkpoint.open(invocation.path)
      let recipe: Recipe?
      if let name = invocation.parsed.value("plan") {
        recipe = try Recipe.named(name)
      } else {
        recipe = nil
      }
      let inspection = try InspectJob(
        checkpoint, binding: Export.binding(invocation, invocation.resources.memory),
        recipe: recipe
      ).run()
      let withTensors = invocation.parsed.has("tensors")
      return Outcome(
        text: ReportText.inspection(
          inspection, withTensors: withTensors, threads: invocation.threads),
        json: inspection.json(withTensors: withTensors))
    })
}
