using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Models.Families;

/// <summary>A GGUF file on its way to a config.json.</summary>
/// <param name="file">The file.</param>
/// <param name="architecture">Its architecture.</param>
internal sealed class GgufReading(GgufFile file, string architecture)
{
    /// <summary>The config.json that is made.</summary>
    public JsonObject Json { get; } = [];

    /// <summary>The file.</summary>
    public GgufFile File => file;

    /// <summary>Name of a key in the file.</summary>
    public string Name(string key) => $"{architecture}.{key}";

    /// <summary>Blocks by the metadata; never more than the file has tensors.</summary>
    /// <exception cref="CheckpointException">The key is absent, or the file cannot hold so many.</exception>
    public int Blocks
    {
        get
        {
            const string Key = "block_count";
            long blocks = Whole(Key) ?? throw new CheckpointException($"{file.Location}: '{Name(Key)}' is missing; every loader of this architecture needs it.");
            return blocks >= 0 && blocks <= file.Names.Count ? (int)blocks
                : throw new CheckpointException($"{file.Location}: {Name(Key)} is {blocks}, and the file has {file.Names.Count} tensors; it is not whole. Download it again.");
        }
    }

    /// <summary>A whole number, one that all blocks share where there is one a block; null where it is absent.</summary>
    /// <exception cref="UnsupportedModelException">It differs from block to block.</exception>
    public long? Whole(string key)
    {
        if (!IsList(key)) return file.Metadata.FindInt64(Name(key));
        long[] list = file.Metadata.FindInt64s(Name(key))!;
        return list.Length > 0 && list.Distinct().Count() == 1 ? list[0]
            : throw new UnsupportedModelException($"{file.Location}: '{Name(key)}' differs from block to block; one number for all blocks is supported.");
    }

    /// <summary>Whole numbers, one a block, or the one of all repeated; null where the key is absent.</summary>
    public long[]? Wholes(string key, int count) => IsList(key) ? file.Metadata.FindInt64s(Name(key)) : Whole(key) is { } one ? [.. Enumerable.Repeat(one, count)] : null;

    /// <summary>Blocks that are computed: those by the metadata without the ones that predict further tokens.</summary>
    /// <exception cref="CheckpointException">As of <see cref="Blocks"/>, or there are fewer than none.</exception>
    public int Layers
    {
        get
        {
            long extra = Whole("nextn_predict_layers") ?? 0;
            return extra >= 0 && extra <= Blocks ? Blocks - (int)extra
                : throw new CheckpointException($"{file.Location}: {Name("nextn_predict_layers")} is {extra}, and there are {Blocks} blocks.");
        }
    }

    /// <summary>A whole number that has to be there.</summary>
    /// <exception cref="CheckpointException">It is absent, or less than what it must be at least.</exception>
    public int Size(string key, int least = 1)
    {
        long value = Whole(key) ?? throw Missing(key);
        return value >= least && value <= int.MaxValue ? (int)value : throw new CheckpointException($"{file.Location}: '{Name(key)}' is {value}; it must be at least {least}.");
    }

    /// <summary>A whole number for each of the blocks that are computed.</summary>
    /// <exception cref="CheckpointException">The key is absent, or has too few.</exception>
    public long[] PerLayer(string key)
    {
        long[] values = Wholes(key, Layers) ?? throw Missing(key);
        return values.Length >= Layers ? values[..Layers] : throw new CheckpointException($"{file.Location}: '{Name(key)}' has {values.Length} numbers; {Layers} blocks take one each.");
    }

    /// <summary>Whether a block has a tensor of this name.</summary>
    public bool Has(int block, string name) => file.Contains(string.Create(CultureInfo.InvariantCulture, $"blk.{block}.{name}"));

    /// <summary>The exception for a key that has to be there.</summary>
    public CheckpointException Missing(string key) => new($"{file.Location}: '{Name(key)}' is missing; every loader of this architecture needs it.");

    /// <summary>Flags, one a block; null where the key is absent or no list.</summary>
    public bool[]? Flags(string key) => file.Metadata.All.GetValueOrDefault(Name(key))?.Value switch
    {
        bool[] flags => flags,
        Array list when list is not string[] => [.. list.Cast<object>().Select(item => Convert.ToDouble(item, CultureInfo.InvariantCulture) != 0)],
        _ => null,
    };

    /// <summary>A number, as few digits as tell it; null where it is absent.</summary>
    public double? Number(string key) => file.Metadata.FindDouble(Name(key)) is { } value ? Shortest(value) : null;

    /// <summary>A flag; null where it is absent.</summary>
    public bool? Flag(string key) => file.Metadata.FindBoolean(Name(key));

    /// <summary>Whether any block has a tensor of this name.</summary>
    public bool HasInBlocks(string name) => file.Names.Any(tensor => tensor.StartsWith("blk.", StringComparison.Ordinal) && tensor.EndsWith($".{name}", StringComparison.Ordinal));

    /// <summary>Metadata holds 32-bit floats: 1e-05 must not become 9.999999747378752e-06 in a file that people read.</summary>
    public static double Shortest(double value) => double.Parse(((float)value).ToString("R", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private bool IsList(string key) => file.Metadata.All.TryGetValue(Name(key), out GgufValue? value) && value.Type == GgufValueType.Array;
}

/// <summary>A key of an architecture's metadata in both directions.</summary>
/// <param name="Key">The key without the architecture's name.</param>
/// <param name="Write">Its value; null to leave it out.</param>
/// <param name="Read">Puts what it says into the config.json.</param>
internal sealed record GgufField(string Key, Func<GgufSubject, object?> Write, Action<GgufReading> Read)
{
    /// <summary>A whole number that config.json has under a key of its own.</summary>
    public static GgufField Whole(string key, string config, int? fallback = null) => new(
        key,
        subject => subject.Reader.Has(config) || fallback is null ? (uint)subject.Reader.Count(config, 0) : (uint)fallback,
        reading => Set(reading, config, reading.Whole(key) ?? (fallback is null
            ? throw new CheckpointException($"{reading.File.Location}: '{reading.Name(key)}' is missing; every loader of this architecture needs it.")
            : null)));

    /// <summary>A number that config.json has under a key of its own; left out where there is none.</summary>
    public static GgufField Real(string key, string config, double? fallback = null) => new(
        key,
        subject => (float?)(subject.Reader.Number(config) ?? fallback),
        reading => Set(reading, config, reading.Number(key)));

    /// <summary>A flag.</summary>
    public static GgufField Flag(string key, string config, bool fallback) => new(
        key,
        subject => subject.Reader.Flag(config, fallback),
        reading => Set(reading, config, reading.Flag(key)));

    /// <summary>A number that is the same for all models of the kind; a file without it, or with another, is refused.</summary>
    public static GgufField Fixed(string key, object value, bool required = true) => new(key, _ => value, reading =>
    {
        double? found = reading.File.Metadata.FindDouble(reading.Name(key));
        if (found is null && !required) return;
        if (found != Convert.ToDouble(value, CultureInfo.InvariantCulture))
            throw new UnsupportedModelException($"{reading.File.Location}: '{reading.Name(key)}' is {found?.ToString(CultureInfo.InvariantCulture) ?? "absent"}; for this architecture {value} is supported.");
    });

    /// <summary>Something that no key of the file says.</summary>
    public static GgufField Implied(string config, Func<GgufReading, JsonNode?> value) => new(
        "", _ => null, reading =>
        {
            if (value(reading) is { } node) reading.Json[config] = node;
        });

    private static void Set<T>(GgufReading reading, string config, T? value)
        where T : struct
    {
        if (value is { } found) reading.Json[config] = JsonValue.Create(found);
    }
}
