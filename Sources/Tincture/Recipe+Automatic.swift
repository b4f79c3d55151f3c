import TinctureCatalog
import TinctureContainers
import TinctureCore

extension Recipe {
  /// The float recipe that keeps every matrix of `model` exactly.
  ///
  /// - Throws: what reading the recipes throws.
  public static func automatic(for model: BoundModel) throws(TinctureError) -> Recipe {
    let matrices = model.tensors.filter { $0.shape.rank >= 2 && !$0.role.isAlwaysFloat }
    return try RecipeAssignment.automaticRecipe(
      for: matrices.flatMap { $0.expression.sources.map(\.info.type) })
  }
}
