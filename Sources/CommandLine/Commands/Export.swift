import Tincture

/// What `convert` and `quantize` share: their options, and the job behind both.
enum Export {
  /// What may be named as a source.
  static let source = """
    A folder with config.json and *.safetensors, one .safetensors file in such a folder, or a GGUF \
    file.
    """

  static let output = OptionSpec.value(
    "output", short: "o", "OUT.gguf", hint: .path,
    "The GGUF file to write. It appears under this name only when it is whole.")

  static let options: [OptionSpec] = [
    .value(
      "tensor-type", "PATTERN=TYPE", repeated: true,
      """
      Give tensors whose GGUF name matches the regular expression PATTERN this type, such as \
      'attn_v=q6_k' or 'blk\\.0\\.=q8_0'. The first pattern found in a name decides.
      """),
    .value(
      "output-type", "TYPE", hint: formats,
      "Type of the output head, or of the token embedding where that serves as one."),
    .value("embedding-type", "TYPE", hint: formats, "Type of the token embedding."),
    .value(
      "metadata", "KEY=VALUE", repeated: true,
      """
      Set a metadata key: general.* names and texts, the tokenizer's settings, or a key of your own. \
      KEY:TYPE=VALUE gives the type: str bool u8 i8 u16 i16 u32 i32 u64 i64 f32 f64, or str[] for a list \
      split at commas.
      """),
    .value(
      "split-size", "SIZE", hint: .size,
      """
      Write parts OUT-00001-of-0000N.gguf with at most SIZE of weights each, such as 2G; llama.cpp loads \
      the set by its first part.
      """),
    .value(
      "pre-tokenizer", "NAME",
      "llama.cpp's name of the pre-tokenizer, when the checkpoint's own is not recognised."),
    .flag("allow-nonfinite", "Let NaN and infinity stand in F32, F16 and BF16 tensors."),
  ]

  static let formats = ValueHint.choices { BlockFormat.all.map { $0.name.lowercased() } }

  /// The names of all recipes, for help and completions; none when `formats/` cannot be read, which a command
  /// that needs a recipe then says.
  static let recipeNames: [String] = {
    do throws(TinctureError) {
      return try Recipe.all().map(\.name)
    } catch {
      return []
    }
  }()

  /// Opens, binds, plans and writes (or rehearses).
  static func run(
    _ invocation: Invocation,
    recipe: (BoundModel) throws(TinctureError) -> Recipe,
    statistics: StatisticsFile? = nil
  ) throws(TinctureError) -> Outcome {
    let start = ContinuousClock.now
    let output = try invocation.output()
    let options = try exportOptions(invocation)
    let checkpoint = try Checkpoint.open(invocation.path)
    let resources = invocation.resources
    var binding = binding(invocation, resources.memory)
    binding.decidedKeys = Set(options.metadata.map(\.key))
    let model = try checkpoint.bind(binding)
    try invocation.cancellation.check()
    let plan = try ExportPlan(
      model, recipe: try recipe(model), options: options, statistics: statistics)
    let job = ExportJob(
      plan, of: checkpoint, to: output, replacing: invocation.replaces, statistics: statistics)
    let report = invocation.isDryRun ? try job.rehearse(resources) : try job.run(resources)
    return Outcome(
      text: ReportText.export(report, seconds: Text.seconds(ContinuousClock.now - start)),
      json: report.json)
  }

  static func binding(_ invocation: Invocation, _ memory: MemoryBudget) -> BindingOptions {
    BindingOptions(preTokenizer: invocation.parsed.value("pre-tokenizer"), memory: memory)
  }

  private static func exportOptions(_ invocation: Invocation) throws(TinctureError)
    -> ExportOptions
  {
    let parsed = invocation.parsed
    var options = ExportOptions(allowsNonFinite: parsed.has("allow-nonfinite"))
    for words in parsed.all("tensor-type") {
      options.overrides.tensorTypes.append(try TypeOverrides.tensorType(words))
    }
    if let name = parsed.value("output-type") {
      options.overrides.output = try TypeOverrides.format(name, option: "--output-type")
    }
    if let name = parsed.value("embedding-type") {
      options.overrides.embedding = try TypeOverrides.format(name, option: "--embedding-type")
    }
    options.metadata = try MetadataOverride.list(parsed.all("metadata"))
    if let size = parsed.value("split-size") {
      options.splitByteCount = try ValueParser.size(size, option: "split-size")
    }
    return options
  }
}
