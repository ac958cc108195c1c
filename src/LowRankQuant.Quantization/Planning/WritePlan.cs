using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Export;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Planning;

/// <summary>
/// Writes a result on trial before the work begins: names that collide, values that do not fit their type, side files that cannot be copied. What would stop
/// a run at its end is found here.
/// </summary>
public static class WritePlan
{
    // Whatever grids a budget will choose, these are the ends of the names that a quantized linear may take.
    private static readonly string[] Ends =
    [
        "weight", "weight_packed", "weight_scale", "weight_shape", "weight_zero_point",
        "weight_codes", "weight_block_scale", "weight_group_scale", "weight_block_minimum", "weight_group_minimum",
    ];

    /// <summary>Finds everything that would keep a result from being written, a sentence each.</summary>
    /// <param name="model">The source.</param>
    /// <param name="recipe">What will be done.</param>
    /// <param name="dense">Whether the result holds plain floats.</param>
    public static IReadOnlyList<string> Problems(CausalModel model, Recipe recipe, bool dense)
    {
        ICheckpoint source = model.Checkpoint;
        SafetensorsType type = dense ? SafetensorsType.F16 : recipe.ScaleType.ToSafetensors();
        string[] linears = [.. model.Modules.Select(module => module.Name), .. Vocabulary(model, recipe)];
        HashSet<string> quantized = [.. linears.Select(linear => linear + ".weight")];
        string[] others = [.. source.TensorNames.Where(name => !quantized.Contains(name))];
        var problems = new List<string>(TensorCollisions.Find(
            source.Location,
            linears.SelectMany(linear => Ends.Select(end => $"{linear}.{end}")).Concat(others).Select(source.WrittenName).Concat(source.Carried.Select(tensor => tensor.Name))));
        foreach (string name in others) Try(problems, () => source.ReadFor(name, type));
        Try(problems, () => CopySideFiles(source));
        return problems;
    }

    /// <summary>Goes on only where a result can be written.</summary>
    /// <inheritdoc cref="Problems"/>
    /// <exception cref="CheckpointException">It cannot; the first reason, and how many others there are.</exception>
    public static void Check(CausalModel model, Recipe recipe, bool dense)
    {
        IReadOnlyList<string> problems = Problems(model, recipe, dense);
        if (problems.Count == 0) return;
        throw new CheckpointException(problems.Count == 1 ? problems[0] : $"{problems[0]} (lrq plan names {problems.Count - 1} more)");
    }

    private static IEnumerable<string> Vocabulary(CausalModel model, Recipe recipe) =>
        recipe.Vocabulary is { } vocabulary && model.Layout.Vocabulary is { } shape ? vocabulary.Parts.Select(part => VocabularyRecipe.ModuleOf(shape, part)) : [];

    private static void CopySideFiles(ICheckpoint source)
    {
        DirectoryInfo aside = Directory.CreateTempSubdirectory("lrq-side-");
        try
        {
            source.CopySideFiles(aside.FullName);
        }
        finally
        {
            aside.Delete(recursive: true);
        }
    }

    private static void Try(List<string> problems, Action step)
    {
        try
        {
            step();
        }
        catch (Exception failure) when (failure
            is CheckpointException or CheckpointFormatException or UnsupportedModelException or TokenizerException or IOException or UnauthorizedAccessException)
        {
            problems.Add(failure.Message);
        }
    }
}
