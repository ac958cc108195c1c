using System.Globalization;

namespace LowRankQuant.Formats.Gguf;

/// <summary>
/// Metadata of a GGUF file by key. <c>Find...</c> gives null for an absent key, <c>Get...</c> refuses it; both refuse a value of another kind.
/// Integers of every width are read alike, since writers differ in the width they choose.
/// </summary>
public sealed class GgufMetadata
{
    private readonly Dictionary<string, GgufValue> _values;
    private readonly string _file;

    internal GgufMetadata(string file, Dictionary<string, GgufValue> values)
    {
        _file = file;
        _values = values;
    }

    /// <summary>All values by key.</summary>
    public IReadOnlyDictionary<string, GgufValue> All => _values;

    /// <summary>The value of a key.</summary>
    /// <exception cref="CheckpointFormatException">The key is absent (<c>missing-key</c>).</exception>
    public GgufValue this[string key] => _values.TryGetValue(key, out GgufValue? value)
        ? value
        : throw new CheckpointFormatException("missing-key", _file, key, "the metadata lacks this key.");

    /// <summary>A string, or null when absent.</summary>
    /// <exception cref="CheckpointFormatException">The value has another type (<c>metadata-type</c>).</exception>
    public string? FindString(string key) => Find(key) is { } value ? value.Value as string ?? throw Wrong(key, value, "a string") : null;

    /// <summary>A string.</summary>
    /// <exception cref="CheckpointFormatException">Absent (<c>missing-key</c>) or of another type (<c>metadata-type</c>).</exception>
    public string GetString(string key) => FindString(key) ?? this[key].Value.ToString()!;

    /// <summary>A boolean, or null when absent.</summary>
    /// <exception cref="CheckpointFormatException">The value has another type (<c>metadata-type</c>).</exception>
    public bool? FindBoolean(string key) => Find(key) is { } value ? value.Value as bool? ?? throw Wrong(key, value, "a bool") : null;

    /// <summary>An integer of any width, or null when absent.</summary>
    /// <exception cref="CheckpointFormatException">The value is not an integer or exceeds 63 bits (<c>metadata-type</c>).</exception>
    public long? FindInt64(string key) =>
        Find(key) is { } value ? ToInt64(value.Value) ?? throw Wrong(key, value, "an integer of at most 63 bits") : null;

    /// <summary>An integer of any width.</summary>
    /// <exception cref="CheckpointFormatException">Absent (<c>missing-key</c>), not an integer or beyond 63 bits (<c>metadata-type</c>).</exception>
    public long GetInt64(string key) => FindInt64(key) ?? Convert.ToInt64(this[key].Value, CultureInfo.InvariantCulture);

    /// <summary>A finite floating point number or integer, or null when absent.</summary>
    /// <exception cref="CheckpointFormatException">The value is not a number (<c>metadata-type</c>), or infinite or NaN (<c>not-finite</c>).</exception>
    public double? FindDouble(string key)
    {
        if (Find(key) is not { } value) return null;
        double found = value.Value switch
        {
            float single => single,
            double number => number,
            ulong large => large,
            _ => ToInt64(value.Value) ?? throw Wrong(key, value, "a number"),
        };
        return double.IsFinite(found)
            ? found : throw new CheckpointFormatException("not-finite", _file, key, $"is {found.ToString(CultureInfo.InvariantCulture)}; it must be a finite number.");
    }

    /// <summary>A floating point number or integer.</summary>
    /// <exception cref="CheckpointFormatException">Absent (<c>missing-key</c>) or not a number (<c>metadata-type</c>).</exception>
    public double GetDouble(string key) => FindDouble(key) ?? Convert.ToDouble(this[key].Value, CultureInfo.InvariantCulture);

    /// <summary>An array of strings, or null when absent. Do not change it.</summary>
    /// <exception cref="CheckpointFormatException">The value has another type (<c>metadata-type</c>).</exception>
    public string[]? FindStrings(string key) =>
        Find(key) is { } value ? value.Value as string[] ?? throw Wrong(key, value, "an array of strings") : null;

    /// <summary>An array of 32-bit floats, or null when absent. Do not change it.</summary>
    /// <exception cref="CheckpointFormatException">The value has another type (<c>metadata-type</c>).</exception>
    public float[]? FindSingles(string key) =>
        Find(key) is { } value ? value.Value as float[] ?? throw Wrong(key, value, "an array of 32-bit floats") : null;

    /// <summary>An array of integers of any width, or null when absent.</summary>
    /// <exception cref="CheckpointFormatException">The value has another type, or an element exceeds 63 bits (<c>metadata-type</c>).</exception>
    public long[]? FindInt64s(string key)
    {
        if (Find(key) is not { } value) return null;
        if (value.Type != GgufValueType.Array || value.Value is string[] or float[] or double[] or bool[])
            throw Wrong(key, value, "an array of integers");
        Array source = (Array)value.Value;
        long[] result = new long[source.Length];
        for (int i = 0; i < result.Length; i++)
            result[i] = ToInt64(source.GetValue(i)!) ?? throw Wrong(key, value, "an array of integers of at most 63 bits");
        return result;
    }

    private static long? ToInt64(object value) => value switch
    {
        byte v => v,
        sbyte v => v,
        ushort v => v,
        short v => v,
        uint v => v,
        int v => v,
        long v => v,
        ulong v when v <= long.MaxValue => (long)v,
        _ => null,
    };

    private GgufValue? Find(string key) => _values.GetValueOrDefault(key);

    private CheckpointFormatException Wrong(string key, GgufValue value, string expected)
    {
        string found = value.Type == GgufValueType.Array ? $"an array of {value.ElementType}" : value.Type.ToString();
        return new CheckpointFormatException("metadata-type", _file, key, $"is {found}; expected {expected}.");
    }
}
