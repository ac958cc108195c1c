using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>
/// The rotary embedding of a GGUF file, as llama.cpp reads it: the factor stands under <c>rope.scaling.factor</c>, else under the older
/// <c>rope.scale_linear</c>; without <c>rope.scaling.type</c> the scaling is linear; a tensor <c>rope_freqs.weight</c> divides the frequencies.
/// </summary>
/// <remarks>Source: ggml-org/llama.cpp, src/llama-model.cpp (load_hparams), src/llama-context.cpp, ggml's rope.</remarks>
internal static class GgufRope
{
    private const string Prefix = "llama.rope.";
    private const double HalfOfWeakest = 1e-6;

    /// <summary>Why a folder cannot hold a table of divisors.</summary>
    public static string NoFolderForm(string location) =>
        $"{location}: the divisors of the rotary frequencies ('{GgufNames.RopeFactors}') follow from no parameters that a config.json can hold; write another GGUF file (--to gguf).";

    /// <summary>What <c>rope_scaling</c> of config.json says; null where nothing is scaled.</summary>
    /// <param name="file">The file.</param>
    /// <param name="headSize">Elements of a head.</param>
    /// <param name="divisors">Divisors of the frequencies where no parameters stand for them; else null.</param>
    /// <exception cref="UnsupportedModelException">A value asks for angles that are not known.</exception>
    /// <exception cref="CheckpointException">A value is unsound.</exception>
    public static JsonObject? Scaling(GgufFile file, long headSize, out float[]? divisors)
    {
        divisors = null;
        GgufMetadata metadata = file.Metadata;
        string kind = metadata.FindString(Prefix + "scaling.type") ?? "linear";
        if (kind is not ("none" or "linear" or "yarn")) throw Unsupported(file, "scaling.type", $"'{kind}'; none, linear and yarn are");
        double factor = Factor(file);
        if (kind == "none") factor = 1;
        double attention = (metadata.FindDouble(Prefix + "scaling.attn_factor") ?? 1) * (metadata.FindDouble(Prefix + "scaling.yarn_attn_factor") ?? 1);
        if (!(attention > 0) || !double.IsFinite(attention)) throw Wrong(file, "scaling.attn_factor", attention, "must be a positive number");
        if (attention != 1 && kind != "yarn") throw Unsupported(file, "scaling.attn_factor", $"{Text(attention)} with scaling '{kind}'; with yarn it is");
        if (file.Contains(GgufNames.RopeFactors)) return Tabled(file, headSize, kind == "yarn" && factor != 1 ? null : factor, out divisors);
        if (kind == "yarn") return factor == 1 && attention == 1 ? null : Yarn(file, factor, attention);
        return factor == 1 ? null : new JsonObject { ["rope_type"] = "linear", ["factor"] = Shortest(factor) };
    }

    /// <summary>Base of the frequencies.</summary>
    public static double Theta(GgufFile file) => Shortest(file.Metadata.FindDouble(Prefix + "freq_base") ?? 10000);

    /// <summary>Metadata holds 32-bit floats: 1e-05 must not become 9.999999747378752e-06 in a file that people read.</summary>
    public static double Shortest(double value) => double.Parse(Text((float)value), CultureInfo.InvariantCulture);

    private static double Factor(GgufFile file)
    {
        const string Key = "scaling.factor", OldKey = "scale_linear";
        string key = file.Metadata.All.ContainsKey(Prefix + Key) ? Key : OldKey;
        double factor = file.Metadata.FindDouble(Prefix + key) ?? 1;
        if (factor == 0) return 1;
        return factor >= 1 && double.IsFinite(factor) ? factor : throw Wrong(file, key, factor, "must be a number of at least 1, or 0 for none");
    }

    private static JsonObject Yarn(GgufFile file, double factor, double attention)
    {
        GgufMetadata metadata = file.Metadata;
        // 1 for yarn, and -1 for what the engine chooses, which is 1 too.
        if (metadata.FindDouble(Prefix + "scaling.yarn_ext_factor") is { } mix and not (1 or -1))
            throw Unsupported(file, "scaling.yarn_ext_factor", $"{Text(mix)}; 1 is");
        var json = new JsonObject
        {
            ["rope_type"] = "yarn",
            ["factor"] = Shortest(factor),
            ["original_max_position_embeddings"] = metadata.FindInt64(Prefix + "scaling.original_context_length") ?? metadata.GetInt64("llama.context_length"),
        };
        if (metadata.FindDouble(Prefix + "scaling.yarn_beta_fast") is { } fast) json["beta_fast"] = Shortest(fast);
        if (metadata.FindDouble(Prefix + "scaling.yarn_beta_slow") is { } slow) json["beta_slow"] = Shortest(slow);
        if (attention != 1) json["attention_factor"] = attention * ((0.1 * Math.Log(factor)) + 1);
        return json;
    }

    private static JsonObject? Tabled(GgufFile file, long headSize, double? factor, out float[]? divisors)
    {
        divisors = null;
        long count = file.ShapeOf(GgufNames.RopeFactors).Aggregate(1L, (product, size) => checked(product * size));
        if (count != headSize / 2)
            throw new CheckpointException($"{file.Location}: tensor '{GgufNames.RopeFactors}' has {count} elements; half the head size, {headSize / 2}, is needed.");
        if (factor is null)
            throw new UnsupportedModelException($"{file.Location}: '{GgufNames.RopeFactors}' together with '{Prefix}scaling.type' yarn is not supported; one of the two is.");
        var table = new float[count];
        file.ReadSingles(GgufNames.RopeFactors, table);
        int bad = Array.FindIndex(table, value => !(value > 0) || !float.IsFinite(value));
        if (bad >= 0)
            throw new CheckpointException($"{file.Location}: tensor '{GgufNames.RopeFactors}' holds {Text(table[bad])} at element {bad}; it must hold positive numbers.");
        for (int j = 0; j < table.Length; j++) table[j] = (float)(table[j] * factor.Value);
        if (Array.TrueForAll(table, value => value == 1)) return null;
        if (table[0] >= 1 && Array.TrueForAll(table, value => Math.Abs(value - table[0]) <= HalfOfWeakest * value))
            return new JsonObject { ["rope_type"] = "linear", ["factor"] = Shortest(table[0]) };
        long context = file.Metadata.FindInt64(Prefix + "scaling.original_context_length") ?? file.Metadata.FindInt64("llama.context_length") ?? 0;
        if (Llama3Parameters.Find(table, Theta(file), (int)headSize, context) is { } found)
        {
            return new JsonObject
            {
                ["rope_type"] = "llama3",
                ["factor"] = Shortest(found.Factor),
                ["low_freq_factor"] = found.LowFrequencyFactor,
                ["high_freq_factor"] = found.HighFrequencyFactor,
                ["original_max_position_embeddings"] = found.OriginalMaxPositions,
            };
        }
        divisors = table;
        return null;
    }

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static string Text(float value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static UnsupportedModelException Unsupported(GgufFile file, string key, string what) => new($"{file.Location}: '{Prefix}{key}' is {what} supported.");

    private static CheckpointException Wrong(GgufFile file, string key, double value, string rule) =>
        new($"{file.Location}: '{Prefix}{key}' is {Text(value)}; it {rule}.");
}
