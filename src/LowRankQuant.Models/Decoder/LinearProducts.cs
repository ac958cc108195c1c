using LowRankQuant.Models.Decoder.Linears;

namespace LowRankQuant.Models.Decoder;

/// <summary>By what products the linears of a model are computed, collected block by block.</summary>
public sealed class LinearProducts
{
    /// <summary>All are of floats.</summary>
    public const string Floats = "float";

    /// <summary>All are of integer codes, one byte each.</summary>
    public const string Integers = "int8";

    // Names of a long list that are worth reading.
    private const int Named = 3;
    private readonly SortedDictionary<string, bool> _codes = new(StringComparer.Ordinal);

    /// <summary>Linears of integer codes.</summary>
    public int OfCodes => _codes.Values.Count(codes => codes);

    /// <summary>Linears in all.</summary>
    public int Count => _codes.Count;

    /// <summary>In a word, such as <c>int8</c>; where some linears are computed in floats, these are counted and the first ones named.</summary>
    public string Describe()
    {
        if (OfCodes == 0) return Floats;
        if (OfCodes == Count) return Integers;
        string[] floats = [.. _codes.Where(pair => !pair.Value).Select(pair => pair.Key)];
        return $"{Integers} of {OfCodes} linears, {Floats} of {floats.Length} ({string.Join(", ", floats.Take(Named))}{(floats.Length > Named ? ", ..." : "")})";
    }

    /// <summary>Notes the linears of a block as they now are.</summary>
    internal void Note(IDecoderBlock block)
    {
        // What stays in its own type is codes only where a source has it so.
        foreach (LinearSlot slot in block.Slots.Concat(block.Kept.Where(slot => slot.MultipliesCodes))) _codes[$"{block.Name}.{slot.Name}"] = slot.MultipliesCodes;
    }
}
