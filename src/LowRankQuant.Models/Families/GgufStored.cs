using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;

namespace LowRankQuant.Models.Families;

/// <summary>How a tensor of a GGUF file holds one of the model's, where it does not hold its rows as they are.</summary>
internal sealed record GgufLayout
{
    /// <summary>Shape in the file, slowest first, -1 for what is left; null for that of the model without ones in the middle.</summary>
    public IReadOnlyList<long>? Shape { get; init; }

    /// <summary>The model's row of every row in the file, see <see cref="RowOrders"/>; null for all of them as they are.</summary>
    public int[]? Rows { get; init; }

    /// <summary>The model's column of every column in the file; null for the same.</summary>
    public int[]? Columns { get; init; }

    /// <summary>Rows of every matrix that lies turned, [columns, rows]; 0 where none does.</summary>
    public int Turned { get; init; }

    /// <summary>Whether the file holds -exp of the values.</summary>
    public bool IsRate { get; init; }

    /// <summary>By what the file has a row of the model multiplied; null for 1. Nothing in the file tells it.</summary>
    public Func<int, float>? Factor { get; init; }
}

/// <summary>A tensor of the model, or some rows of it, in a tensor of a GGUF file.</summary>
/// <param name="Spec">The model's tensor.</param>
internal sealed record GgufPart(TensorSpec Spec)
{
    /// <summary>Name in the model.</summary>
    public string Name => Spec.Name;

    /// <summary>Added to every value.</summary>
    public float Offset { get; init; }

    /// <summary>Where rows lie and what becomes of values; null for as they are.</summary>
    public GgufLayout? Layout { get; init; }

    /// <summary>The model's row of every row in the file; null for all as they are.</summary>
    public int[]? Rows { get; init; }

    /// <summary>Rows of the model's tensor, or elements of a vector.</summary>
    public int SpecRows => Spec.Shape.Count >= 2 ? Spec.Shape[0] : Spec.Shape.Aggregate(1, (product, size) => product * size);

    /// <summary>Columns of the model's tensor; 1 of a vector.</summary>
    public int Columns => Spec.Shape.Count >= 2 ? Spec.Shape.Skip(1).Aggregate(1, (product, size) => product * size) : 1;

    /// <summary>Rows of the model that lie here.</summary>
    public int Count => Rows?.Length ?? SpecRows;

    /// <summary>Whether the whole tensor lies here.</summary>
    public bool IsWhole => Count == SpecRows;

    /// <summary>Rows of every matrix that lies turned; 0 where none does.</summary>
    public int Turned => Layout?.Turned ?? 0;

    /// <summary>The model's column of every column in the file; null for the same.</summary>
    public int[]? ColumnOrder => Layout?.Columns;

    /// <summary>By what a row of the model is multiplied; null for 1.</summary>
    public Func<int, float>? Factor => Layout?.Factor;

    /// <summary>Whether values are held otherwise than the model has them, so that a float may come back as another.</summary>
    public bool Alters => Offset != 0 || Layout?.IsRate == true;

    /// <summary>A value as the file holds it.</summary>
    public float ToFile(float value) => Layout?.IsRate == true ? DecayRates.Of(value) : value + Offset;

    /// <summary>A value of the file as the model has it.</summary>
    /// <exception cref="CheckpointException">It is none that the file could hold.</exception>
    public float ToModel(float held, string location, string stored)
    {
        if (Layout?.IsRate != true) return held - Offset;
        return held < 0 && float.IsFinite(held) ? DecayRates.LogOf(held) : throw new CheckpointException($"{location}: tensor '{stored}' holds {held}; rates of decay are negative.");
    }
}

/// <summary>A tensor of a GGUF file, and the tensors of the model that it holds one behind the other.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="Shape">Shape in the file, slowest first.</param>
/// <param name="Parts">What it holds, in its order.</param>
internal sealed record GgufStored(string Name, long[] Shape, IReadOnlyList<GgufPart> Parts)
{
    /// <summary>Whether it is linear weights of a block.</summary>
    public bool IsLinear { get; init; }

    /// <summary>Whether it is a table of rows by token.</summary>
    public bool IsTable { get; init; }

    /// <summary>Whether it is no tensor but a list of numbers in the metadata, one for every part.</summary>
    public bool IsKey { get; init; }

    /// <summary>Columns of its rows.</summary>
    public int Columns => Shape.Length >= 2 ? (int)Shape[^1] : 1;

    /// <summary>Whether it is the whole of one linear weight, so that a branch of that is one of this.</summary>
    public bool TakesBranches => IsLinear && Parts is [{ IsWhole: true, Turned: 0, Factor: null }];
}
