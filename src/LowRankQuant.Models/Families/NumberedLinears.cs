namespace LowRankQuant.Models.Families;

/// <summary>A matrix that looks like a linear of a numbered layer.</summary>
/// <param name="Layer">Name of the layer, such as <c>model.layers.3</c>.</param>
/// <param name="Name">Name within the layer, such as <c>mlp.up_proj</c>.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
internal sealed record NumberedLinear(string Layer, string Name, int OutFeatures, int InFeatures);

/// <summary>
/// Finds the linears of a model by the names and shapes of its tensors alone: matrices <c>LAYERS.N.REST.weight</c>, where LAYERS ends with layers, blocks, layer,
/// block or is h. What is called an embedding, norm, convolution or router is none, neither is what chooses among experts by its shape, nor anything of a part for
/// images or sound.
/// </summary>
internal static class NumberedLinears
{
    private const string Weight = ".weight", Experts = "experts";

    // Smaller matrices are gates and projections to a few numbers, which take no room.
    private const int Smallest = 16;

    private static readonly string[] Layers = ["h", "layer", "block"], LayerEnds = ["layers", "blocks"];
    private static readonly string[] OtherParts = ["vision", "visual", "image", "video", "audio", "speech", "projector", "resampler", "connector", "vit"];
    private static readonly string[] NoLinears = ["norm", "position", "bias", "codebook"], NeitherWithin = ["router", "embed", "conv", "rotary", "lora"];

    /// <summary>Finds them, layer by layer in the order of the numbers.</summary>
    /// <param name="matrices">Names and shapes of all matrices of floats.</param>
    public static IReadOnlyList<NumberedLinear> Find(IEnumerable<(string Name, int Rows, int Columns)> matrices)
    {
        List<(NumberedLinear Linear, string[] Parts)> found = [];
        foreach ((string name, int rows, int columns) in matrices)
        {
            if (!name.EndsWith(Weight, StringComparison.Ordinal) || Math.Min(rows, columns) < Smallest) continue;
            string[] parts = name[..^Weight.Length].Split('.');
            int number = Array.FindIndex(parts, IsNumber);
            if (number < 1 || number == parts.Length - 1 || !IsLayers(parts[number - 1]) || parts[..number].Any(IsOtherPart)) continue;
            string[] rest = parts[(number + 1)..];
            if (NoLinears.Any(word => Has(rest[^1], word)) || IsLayerNorm(rest[^1]) || rest.Any(part => NeitherWithin.Any(word => Has(part, word)))) continue;
            if (rest[^1] == "gate" && !rest.Any(IsNumber) && rows < columns / 2) continue;
            found.Add((new NumberedLinear(string.Join('.', parts[..(number + 1)]), string.Join('.', rest), rows, columns), parts));
        }
        // A matrix beside experts with a row for each of them chooses among them, whatever it is called.
        Dictionary<string, int> experts = found.Where(item => ExpertOf(item.Parts) is not null).GroupBy(item => item.Linear.Layer)
            .ToDictionary(layer => layer.Key, layer => layer.Select(item => ExpertOf(item.Parts)).Distinct().Count());
        return
        [
            .. found.Where(item => ExpertOf(item.Parts) is not null || item.Linear.OutFeatures != experts.GetValueOrDefault(item.Linear.Layer))
                .OrderBy(item => item.Parts, Comparer<string[]>.Create(Compare)).Select(item => item.Linear),
        ];
    }

    private static bool Has(string part, string word) => part.Contains(word, StringComparison.OrdinalIgnoreCase);

    private static bool IsNumber(string part) => part.Length > 0 && part.All(char.IsAsciiDigit);

    private static bool IsLayers(string part) => Layers.Contains(part) || LayerEnds.Any(end => part.EndsWith(end, StringComparison.Ordinal));

    private static bool IsOtherPart(string part) => OtherParts.Any(word => word.Length > 3 ? Has(part, word) : part == word);

    private static bool IsLayerNorm(string part) => part == "ln" || (part.Length > 2 && part.StartsWith("ln", StringComparison.Ordinal) && !char.IsAsciiLetter(part[2]));

    private static string? ExpertOf(string[] parts)
    {
        int experts = Array.FindIndex(parts, part => part.EndsWith(Experts, StringComparison.Ordinal));
        return experts >= 0 && experts + 1 < parts.Length && IsNumber(parts[experts + 1]) ? parts[experts + 1] : null;
    }

    private static int Compare(string[] a, string[] b)
    {
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
        {
            int order = IsNumber(a[i]) && IsNumber(b[i]) && a[i].Length != b[i].Length ? a[i].Length - b[i].Length : string.CompareOrdinal(a[i], b[i]);
            if (order != 0) return order;
        }
        return a.Length - b.Length;
    }
}
