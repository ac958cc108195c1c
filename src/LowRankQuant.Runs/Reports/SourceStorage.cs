using System.Globalization;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Runs.Reports;

/// <summary>What the linears of a source are stored as. A source that somebody quantized is no full precision, and quantizing it further can only lose.</summary>
/// <param name="BitsPerWeight">Stored bits per weight over all linears, scales and branches counted.</param>
/// <param name="Types">Block types or grids with their shares, such as <c>Q4_1</c> or <c>83 % Q4_K, 17 % Q6_K</c>; null for floats of 16 bits and more.</param>
public sealed record SourceStorage(double BitsPerWeight, string? Types)
{
    private const int PlainFloatBits = 16;
    private static readonly string[] FloatTypes = ["F32", "F16", "BF16"];

    /// <summary>Whether the source is quantized.</summary>
    public bool IsQuantized => Types is not null;

    /// <summary>Looks at all linears of a model; codes are read of one linear of every kind alone.</summary>
    public static SourceStorage Of(CausalModel model)
    {
        var weights = new Dictionary<string, double>(StringComparer.Ordinal);
        var kinds = new Dictionary<(string Linear, double Bits), string?>();
        double bits = 0, all = 0;
        for (int block = 0; block < model.Config.Layers; block++)
        {
            foreach ((string linear, int outFeatures, int inFeatures) in model.LinearsOf(block))
            {
                string tensor = $"{model.BlockName(block)}.{linear}.weight";
                double count = (double)outFeatures * inFeatures, stored = model.Checkpoint.StoredBitsOf(tensor);
                if (TypeOf(model.Checkpoint, linear, tensor, stored / count, kinds) is { } type) weights[type] = weights.GetValueOrDefault(type) + count;
                bits += stored;
                all += count;
            }
        }
        return new SourceStorage(bits / all, weights.Count == 0 ? null : Describe(weights, all));
    }

    /// <summary>In words.</summary>
    public override string ToString() => Types is null
        ? string.Create(CultureInfo.InvariantCulture, $"floats, {BitsPerWeight:0.##} bits per weight")
        : string.Create(CultureInfo.InvariantCulture, $"{Types}, {BitsPerWeight:0.00} bits per weight");

    /// <summary>What to tell about a source that is quantized; null about one that is not.</summary>
    public string? Remark => IsQuantized ? $"The source is quantized itself: its linears are {this}. Losses are measured against it as it is." : null;

    /// <summary>
    /// What a quantized source lost when it was made, and what rounding it once more to the grids of a scheme adds, by the linears of the first block; null about a source of floats, or
    /// where it is not known. Both are root mean squares relative to the weights, and independent of each other.
    /// </summary>
    /// <param name="model">The source.</param>
    /// <param name="scheme">The grids that are asked for.</param>
    public string? Again(CausalModel model, Scheme scheme)
    {
        if (!IsQuantized) return null;
        double lost = 0, added = 0, weights = 0;
        foreach ((string linear, int outFeatures, int inFeatures) in model.LinearsOf(0))
        {
            string module = $"{model.BlockName(0)}.{linear}";
            Scheme own = scheme.For(module);
            if (model.Checkpoint.RelativeLossOf($"{module}.weight") is not { } share || !own.Grid.Divides(inFeatures)) return null;
            float[] values = new float[outFeatures * inFeatures], rounded = new float[values.Length];
            model.Checkpoint.Read($"{module}.weight", values);
            FittedGrid.Find(values, outFeatures, inFeatures, own, model.Device.HostWorkers).Round(values, default, model.Device.HostWorkers).Dequantize(rounded);
            double energy = 0, error = 0;
            for (int i = 0; i < values.Length; i++)
            {
                energy += (double)values[i] * values[i];
                error += Math.Pow(rounded[i] - (double)values[i], 2);
            }
            (lost, added, weights) = (lost + (share * share * energy), added + error, weights + energy);
        }
        if (weights == 0) return null;
        static double Percent(double share) => 100 * Math.Sqrt(share);
        return string.Create(CultureInfo.InvariantCulture,
            $"when the source was made, rounding took about {Percent(lost / weights):0.0} % of its weights (root mean square, first block), which does not come back; rounding them to nearest on the grids asked for takes another {Percent(added / weights):0.0} %, {Percent((lost + added) / weights):0.0} % of the original in all.");
    }

    /// <summary>What to tell about a result that takes as many bits as its source, or more; null where it takes fewer.</summary>
    /// <param name="bits">Bits per weight of the result.</param>
    public string? Advice(double? bits) => IsQuantized && bits >= BitsPerWeight
        ? string.Create(CultureInfo.InvariantCulture,
            $"the result's linears take {bits:0.00} bits per weight and the source's {BitsPerWeight:0.00} already ({Types}): 'lrq convert' and 'lrq export' move the source's own codes and lose nothing; ask for fewer bits, or quantize the original.")
        : null;

    private static string? TypeOf(ICheckpoint checkpoint, string linear, string tensor, double bits, Dictionary<(string Linear, double Bits), string?> kinds)
    {
        if (checkpoint.BlockTypeOf(tensor) is { } type) return FloatTypes.Contains(type) ? null : type;
        if (kinds.TryGetValue((linear, bits), out string? known)) return known;
        return kinds[(linear, bits)] = checkpoint.ReadQuantized(tensor) is { } weight ? $"{weight.Grid}"
            : bits < PlainFloatBits ? string.Create(CultureInfo.InvariantCulture, $"numbers of {bits:0.##} bits") : null;
    }

    private static string Describe(Dictionary<string, double> weights, double all)
    {
        double floats = all - weights.Values.Sum();
        if (weights.Count == 1 && floats == 0) return weights.Keys.First();
        if (floats > 0) weights["floats"] = floats;
        return string.Join(", ", weights.OrderByDescending(type => type.Value).ThenBy(type => type.Key, StringComparer.Ordinal)
            .Select(type => string.Create(CultureInfo.InvariantCulture, $"{100 * type.Value / all:0.#} % {type.Key}")));
    }
}
