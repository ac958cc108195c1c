using System.Text.Json.Serialization;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Quantization.Recipes;

/// <summary>The matrices that have a row for every token.</summary>
public enum VocabularyPart
{
    /// <summary>The input embedding, a table in which rows are looked up; of a tied model the output head too.</summary>
    Embedding,

    /// <summary>An output head of its own.</summary>
    Head,
}

/// <summary>The part of a recipe that is about embedding and output head.</summary>
/// <param name="Embedding">The grid of the embedding; null where it stays floats.</param>
/// <param name="Head">The grid of the output head; null where it stays floats. Of a tied model that of the one matrix.</param>
/// <param name="Tied">Whether both are one matrix, which then is stored once, as the embedding.</param>
public sealed record VocabularyRecipe(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] LayerGrid? Embedding,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] LayerGrid? Head,
    bool Tied)
{
    // At 8 bits a searched asymmetric range is one of 25,600 per group, and next to nothing better than the plain one.
    private const int WidestSearched = 4;

    /// <summary>The matrices to quantize, in the order of the run: an embedding of its own before the blocks, everything that serves as the head after them.</summary>
    [JsonIgnore]
    public IEnumerable<VocabularyPart> Parts
    {
        get
        {
            if (Embedding is not null) yield return VocabularyPart.Embedding;
            if (Head is not null && !Tied) yield return VocabularyPart.Head;
        }
    }

    /// <summary>Whether a matrix multiplies hidden states, so that inputs can tell which errors matter; else it is only looked up.</summary>
    public bool IsHead(VocabularyPart part) => Tied || part == VocabularyPart.Head;

    /// <summary>The grid of a matrix that is quantized.</summary>
    public LayerGrid GridOf(VocabularyPart part) =>
        (part == VocabularyPart.Embedding ? Embedding : Head) ?? throw new ArgumentException($"The {part} stays floats.", nameof(part));

    /// <summary>Module path of a matrix.</summary>
    public static string ModuleOf(VocabularyShape shape, VocabularyPart part) => part == VocabularyPart.Embedding ? shape.Embedding : shape.Head;

    /// <summary>How a matrix is rounded to nearest: searched ranges at 4 bits and on symmetric grids, where the run searches for them; else the plain range.</summary>
    /// <param name="part">The matrix.</param>
    /// <param name="start">How the run finds its first grids.</param>
    /// <param name="scaleType">Stored type of scales.</param>
    public Scheme SchemeOf(VocabularyPart part, GridStart start, ScaleType scaleType)
    {
        LayerGrid own = GridOf(part);
        WeightGrid grid = own.ToGrid();
        bool searches = grid is not UniformGrid || (start == GridStart.Search && (grid.Symmetric || grid.Bits <= WidestSearched));
        return new Scheme(grid, searches ? GridStart.Search : GridStart.MinMax, scaleType) { ScaleDigits = own.ScaleDigits };
    }

    /// <summary>Bits that the quantized matrices take, scales and zero points included.</summary>
    public long StoredBits(VocabularyShape shape, ScaleType scaleType) => Parts.Sum(part => GridOf(part).ToGrid().StoredBits(shape.Rows, shape.Width, scaleType));

    /// <summary>Weights of the quantized matrices.</summary>
    public long Weights(VocabularyShape shape) => Parts.Count() * (long)shape.Rows * shape.Width;

    /// <summary>In words, such as <c>embedding w8 symmetric g32, head w4 symmetric g32</c>.</summary>
    public override string ToString() => string.Join(", ", Parts.Select(part => $"{NameOf(part)} {GridOf(part).ToGrid()}"));

    /// <summary>What a matrix is called.</summary>
    public string NameOf(VocabularyPart part) => Tied ? "embedding and head (one matrix)" : part == VocabularyPart.Embedding ? "embedding" : "head";
}
