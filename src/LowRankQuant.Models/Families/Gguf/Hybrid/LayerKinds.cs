using System.Text.Json.Nodes;

namespace LowRankQuant.Models.Families.Gguf.Hybrid;

/// <summary>Kinds of layers in architectures that mix them: files tell them by numbers that are 0 where a layer has none of a part.</summary>
internal static class LayerKinds
{
    private const string KeyHeads = "attention.head_count_kv";

    /// <summary>The heads of keys, layer by layer: none where a layer has no attention.</summary>
    /// <param name="keys">Full name within a block of what every attention has.</param>
    /// <param name="read">Given which layers have attention.</param>
    /// <param name="count">Heads of keys where there are some; null for those of the configuration.</param>
    public static GgufField Heads(string keys, Action<GgufReading, bool[]> read, int? count = null) => new(
        KeyHeads,
        subject => Enumerable.Range(0, subject.Config.Layers).Select(layer => subject.Has(layer, keys) ? (uint)(count ?? subject.Config.KeyValueHeads) : 0).ToArray(),
        reading =>
        {
            bool[] attends = Attend(reading);
            if (count is null) reading.Json["num_key_value_heads"] = Heads(reading);
            read(reading, attends);
        });

    /// <summary>A sentence about a model whose layers are of one kind: the engine ends the process when it clears a memory of the other kind, which then has no layer.</summary>
    /// <param name="subject">The model.</param>
    /// <param name="architecture">Name of the architecture.</param>
    /// <param name="attention">Full name within a block of what every attention has.</param>
    /// <param name="state">The same of what every mixer with a state has.</param>
    public static IEnumerable<string> OfOneKind(GgufSubject subject, string architecture, string attention, string state)
    {
        bool attends = subject.ShapeOf(attention) is not null, keeps = subject.ShapeOf(state) is not null;
        if (!attends || !keeps)
            yield return GgufLimits.Otherwise("no layer", attends ? "one that keeps a state" : "one of attention", architecture, "layers of both kinds, and ends the process otherwise");
    }

    /// <summary>Which layers have attention.</summary>
    public static bool[] Attend(GgufReading reading) => [.. reading.PerLayer(KeyHeads).Select(heads => heads > 0)];

    /// <summary>A word for every layer.</summary>
    /// <param name="attends">Which have attention.</param>
    /// <param name="attention">The word for these.</param>
    /// <param name="other">The word for the others.</param>
    public static JsonArray Words(bool[] attends, string attention, string other) =>
        new([.. attends.Select(has => JsonValue.Create(has ? attention : other))]);

    /// <summary>A first layer and a period that give the layers of a kind; of one layer alone, a period beyond the last.</summary>
    /// <param name="reading">The file, for messages.</param>
    /// <param name="has">Which layers are of the kind.</param>
    /// <param name="what">The kind.</param>
    /// <exception cref="UnsupportedModelException">None do.</exception>
    public static (int Every, int First) Period(GgufReading reading, bool[] has, string what)
    {
        int first = Array.IndexOf(has, true);
        if (first < 0) return (has.Length + 1, has.Length);
        int second = Array.IndexOf(has, true, first + 1), every = second < 0 ? Math.Max(has.Length, first + 1) : second - first;
        bool regular = first < every && !has.Where((kind, layer) => kind != (layer % every == first)).Any();
        return regular ? (every, first) : throw new UnsupportedModelException($"{reading.File.Location}: layers with {what} do not follow each other at one distance, which is what the family has.");
    }

    private static long Heads(GgufReading reading)
    {
        long[] kinds = [.. reading.PerLayer(KeyHeads).Where(heads => heads > 0).Distinct()];
        return kinds.Length switch
        {
            0 => reading.Size("attention.head_count"),
            1 => kinds[0],
            _ => throw new UnsupportedModelException($"{reading.File.Location}: '{reading.Name(KeyHeads)}' differs between layers with attention; one number for all of them is supported."),
        };
    }
}
