using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>
/// The rotary embedding of a GGUF file, as llama.cpp reads it: the factor stands under <c>rope.scaling.factor</c>, else under the older
/// <c>rope.scale_linear</c>; without <c>rope.scaling.type</c> the scaling is linear; a tensor <c>rope_freqs.weight</c> divides the frequencies, and
/// <c>rope_factors_short.weight</c> and <c>rope_factors_long.weight</c> are the lists of LongRoPE.
/// </summary>
/// <remarks>Source: ggml-org/llama.cpp, src/llama-model.cpp (load_hparams), src/llama-context.cpp, ggml's rope.</remarks>
internal static class GgufRope
{
    private const string Prefix = "rope.";
    private const double HalfOfWeakest = 1e-6;

    /// <summary>Why a folder cannot hold a table of divisors.</summary>
    public static string NoFolderForm(string location) =>
        $"{location}: the divisors of the rotary frequencies ('{GgufNames.RopeFactors}') follow from no parameters that a config.json can hold; write another GGUF file (`to` gguf).";

    /// <summary>Puts what <c>rope_scaling</c> of config.json and the keys beside it say into the configuration; an architecture with a key of its own for the base does it itself.</summary>
    /// <exception cref="UnsupportedModelException">A value asks for angles that are not known.</exception>
    /// <exception cref="CheckpointException">A value is unsound.</exception>
    public static void Read(GgufArchitecture architecture, GgufReading reading)
    {
        if (architecture.Fields.Any(field => field.Key == "rope.freq_base")) return;
        long headSize = reading.Whole("attention.key_length") ?? reading.Whole("embedding_length")!.Value / reading.Whole("attention.head_count")!.Value;
        long rotated = reading.Whole(Prefix + "dimension_count") ?? headSize;
        if (rotated < 2 || rotated > headSize || rotated % 2 != 0)
            throw new CheckpointException($"{reading.File.Location}: '{reading.Name(Prefix + "dimension_count")}' is {rotated}; it must be an even number up to the size of a head, {headSize}.");
        if ((rotated != headSize || architecture.SaysPart) && architecture.ConfigKey("partial_rotary_factor") is { } partial) reading.Json[partial] = Part(rotated, headSize);
        if (Scaling(architecture, reading, rotated) is { } scaling) reading.Json["rope_scaling"] = scaling;
    }

    /// <summary>Base of the frequencies.</summary>
    public static double Theta(GgufReading reading) => reading.Number(Prefix + "freq_base") ?? 10000;

    // The part of a head that gives the number of rotated elements again when it is cut to a whole one.
    private static double Part(long rotated, long headSize)
    {
        double part = (double)rotated / headSize;
        while ((long)(headSize * part) < rotated) part = Math.BitIncrement(part);
        return part;
    }

    private static JsonObject? Scaling(GgufArchitecture architecture, GgufReading reading, long rotated)
    {
        string kind = reading.File.Metadata.FindString(reading.Name(Prefix + "scaling.type")) ?? "linear";
        if (architecture.RopeTensors == GgufRopeTensors.ShortAndLong)
        {
            if (reading.File.Contains(GgufNames.LongFactors)) return LongRope(reading, rotated);
        }
        else if (kind == "longrope") throw Unsupported(reading, "scaling.type", $"'{kind}'; none, linear and yarn are");
        if (kind is not ("none" or "linear" or "yarn" or "longrope")) throw Unsupported(reading, "scaling.type", $"'{kind}'; none, linear and yarn are");
        double factor = Factor(reading);
        if (kind is "none" or "longrope") factor = 1;
        double attention = (reading.File.Metadata.FindDouble(reading.Name(Prefix + "scaling.attn_factor")) ?? 1)
            * (reading.File.Metadata.FindDouble(reading.Name(Prefix + "scaling.yarn_attn_factor")) ?? 1);
        if (!(attention > 0) || !double.IsFinite(attention)) throw Wrong(reading, "scaling.attn_factor", attention, "must be a positive number");
        if (attention != 1 && kind != "yarn") throw Unsupported(reading, "scaling.attn_factor", $"{Text(attention)} with scaling '{kind}'; with yarn it is");
        if (architecture.RopeTensors == GgufRopeTensors.Divisors && reading.File.Contains(GgufNames.RopeFactors))
            return Tabled(reading, rotated, kind == "yarn" && factor != 1 ? null : factor);
        if (kind == "yarn") return factor == 1 && attention == 1 ? null : Yarn(reading, factor, attention);
        return factor == 1 ? null : new JsonObject { ["rope_type"] = "linear", ["factor"] = GgufReading.Shortest(factor) };
    }

    private static double Factor(GgufReading reading)
    {
        const string Key = "scaling.factor", OldKey = "scale_linear";
        string key = reading.File.Metadata.All.ContainsKey(reading.Name(Prefix + Key)) ? Key : OldKey;
        double factor = reading.File.Metadata.FindDouble(reading.Name(Prefix + key)) ?? 1;
        if (factor == 0) return 1;
        return factor >= 1 && double.IsFinite(factor) ? factor : throw Wrong(reading, key, factor, "must be a number of at least 1, or 0 for none");
    }

    private static JsonObject Yarn(GgufReading reading, double factor, double attention)
    {
        // 1 for yarn, and -1 for what the engine chooses, which is 1 too.
        if (reading.File.Metadata.FindDouble(reading.Name(Prefix + "scaling.yarn_ext_factor")) is { } mix and not (1 or -1))
            throw Unsupported(reading, "scaling.yarn_ext_factor", $"{Text(mix)}; 1 is");
        var json = new JsonObject
        {
            ["rope_type"] = "yarn",
            ["factor"] = GgufReading.Shortest(factor),
            ["original_max_position_embeddings"] = reading.Whole(Prefix + "scaling.original_context_length") ?? reading.File.Metadata.GetInt64(reading.Name("context_length")),
        };
        if (reading.Number(Prefix + "scaling.yarn_beta_fast") is { } fast) json["beta_fast"] = fast;
        if (reading.Number(Prefix + "scaling.yarn_beta_slow") is { } slow) json["beta_slow"] = slow;
        if (attention != 1) json["attention_factor"] = attention * ((0.1 * Math.Log(factor)) + 1);
        return json;
    }

    private static JsonObject LongRope(GgufReading reading, long rotated)
    {
        long context = reading.File.Metadata.GetInt64(reading.Name("context_length"));
        long original = reading.Whole(Prefix + "scaling.original_context_length") ?? context;
        var json = new JsonObject
        {
            ["rope_type"] = "longrope",
            ["short_factor"] = Table(reading, GgufNames.ShortFactors, rotated),
            ["long_factor"] = Table(reading, GgufNames.LongFactors, rotated),
            ["original_max_position_embeddings"] = original,
        };
        // What follows from the two lengths is not said.
        double usual = context <= original || original < 2 ? 1 : Math.Sqrt(1 + (Math.Log((double)context / original) / Math.Log(original)));
        double attention = reading.File.Metadata.FindDouble(reading.Name(Prefix + "scaling.attn_factor")) ?? 1;
        if (Math.Abs(attention - usual) > 1e-6 * usual) json["attention_factor"] = GgufReading.Shortest(attention);
        return json;
    }

    private static JsonArray Table(GgufReading reading, string name, long rotated) => [.. Numbers(reading, name, rotated).Select(value => JsonValue.Create(value))];

    private static float[] Numbers(GgufReading reading, string name, long rotated)
    {
        GgufFile file = reading.File;
        if (!file.Contains(name)) throw new CheckpointException($"{file.Location}: tensor '{name}' is absent; the file does not hold a whole model of its architecture.");
        long count = file.ShapeOf(name).Aggregate(1L, (product, size) => checked(product * size));
        if (count != rotated / 2) throw new CheckpointException($"{file.Location}: tensor '{name}' has {count} elements; half the head size, {rotated / 2}, is needed.");
        var table = new float[count];
        file.ReadSingles(name, table);
        int bad = Array.FindIndex(table, value => !(value > 0) || !float.IsFinite(value));
        return bad < 0 ? table
            : throw new CheckpointException($"{file.Location}: tensor '{name}' holds {Text(table[bad])} at element {bad}; it must hold positive numbers.");
    }

    private static JsonObject? Tabled(GgufReading reading, long rotated, double? factor)
    {
        float[] table = Numbers(reading, GgufNames.RopeFactors, rotated);
        if (factor is null)
            throw new UnsupportedModelException($"{reading.File.Location}: '{GgufNames.RopeFactors}' together with '{reading.Name(Prefix + "scaling.type")}' yarn is not supported; one of the two is.");
        for (int j = 0; j < table.Length; j++) table[j] = (float)(table[j] * factor.Value);
        if (Array.TrueForAll(table, value => value == 1)) return null;
        if (table[0] >= 1 && Array.TrueForAll(table, value => Math.Abs(value - table[0]) <= HalfOfWeakest * value))
            return new JsonObject { ["rope_type"] = "linear", ["factor"] = GgufReading.Shortest(table[0]) };
        long context = reading.Whole(Prefix + "scaling.original_context_length") ?? reading.Whole("context_length") ?? 0;
        if (Llama3Parameters.Find(table, Theta(reading), (int)rotated, context) is { } found)
        {
            return new JsonObject
            {
                ["rope_type"] = "llama3",
                ["factor"] = GgufReading.Shortest(found.Factor),
                ["low_freq_factor"] = found.LowFrequencyFactor,
                ["high_freq_factor"] = found.HighFrequencyFactor,
                ["original_max_position_embeddings"] = found.OriginalMaxPositions,
            };
        }
        // No parameters of config.json stand for a table; nothing is written that holds this key.
        return new JsonObject { ["rope_type"] = "table", ["divisors"] = new JsonArray([.. table.Select(divisor => JsonValue.Create(divisor))]) };
    }

    private static string Text(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static string Text(float value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static UnsupportedModelException Unsupported(GgufReading reading, string key, string what) =>
        new($"{reading.File.Location}: '{reading.Name(Prefix + key)}' is {what} supported.");

    private static CheckpointException Wrong(GgufReading reading, string key, double value, string rule) =>
        new($"{reading.File.Location}: '{reading.Name(Prefix + key)}' is {Text(value)}; it {rule}.");
}
