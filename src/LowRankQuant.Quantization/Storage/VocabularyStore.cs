using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Quantization.Storage;

/// <summary>Quantized embedding and head among the working files of a run, in the tensors of the final checkpoint.</summary>
/// <param name="model">The source.</param>
/// <param name="recipe">What is done; has a part about the vocabulary.</param>
/// <param name="folder">The run.</param>
/// <param name="blocks">How weights become tensors and back.</param>
public sealed class VocabularyStore(CausalModel model, VocabularyRecipe recipe, RunFolder folder, CompressedBlockStore blocks)
{
    private readonly VocabularyShape _shape = model.Layout.Vocabulary ?? throw new ArgumentException("The model's embedding and head are not known.", nameof(model));

    /// <summary>The grids.</summary>
    public VocabularyRecipe Recipe => recipe;

    /// <summary>Their store; null where a recipe quantizes neither.</summary>
    public static VocabularyStore? Of(CausalModel model, Recipe recipe, RunFolder folder, CompressedBlockStore blocks) =>
        recipe.Vocabulary is { } vocabulary ? new VocabularyStore(model, vocabulary, folder, blocks) : null;

    /// <summary>Module path of a matrix.</summary>
    public string ModuleOf(VocabularyPart part) => VocabularyRecipe.ModuleOf(_shape, part);

    /// <summary>Path of the tensors of a matrix.</summary>
    public string FileOf(VocabularyPart part) => folder.PartFile(Key(part));

    /// <summary>Whether a matrix is finished.</summary>
    public bool Has(VocabularyPart part) => folder.HasPart(Key(part));

    /// <summary>The report of a finished matrix.</summary>
    public VocabularyReport ReportOf(VocabularyPart part) => folder.ReadPartReport(Key(part));

    /// <summary>Stores a finished matrix.</summary>
    public void Write(VocabularyPart part, QuantizedWeight weight, VocabularyReport report) => folder.WritePart(Key(part), blocks.Tensors([(ModuleOf(part), weight)]), report);

    /// <summary>A finished matrix.</summary>
    /// <exception cref="Formats.CheckpointFormatException">Its file is damaged.</exception>
    public QuantizedWeight Read(VocabularyPart part)
    {
        using SafetensorsFile file = SafetensorsFile.Open(FileOf(part));
        return blocks.ReadModule(file, ModuleOf(part), recipe.GridOf(part).ToGrid());
    }

    /// <summary>The embedding as stored; in full precision where it stays floats.</summary>
    public InputEmbedding LoadEmbedding() => model.LoadEmbedding(recipe.Embedding is null ? null : Load(VocabularyPart.Embedding));

    /// <summary>The output head as stored; in full precision where it stays floats.</summary>
    public OutputHead LoadHead() => model.LoadHead(recipe.Head is null ? null : Load(recipe.Tied ? VocabularyPart.Embedding : VocabularyPart.Head));

    private Tensor Load(VocabularyPart part)
    {
        QuantizedWeight weight = Read(part);
        var values = new float[weight.Codes.Length];
        weight.Dequantize(values);
        return model.Device.From(values, weight.OutFeatures, weight.InFeatures);
    }

    private static string Key(VocabularyPart part) => part == VocabularyPart.Embedding ? "embedding" : "head";
}
