using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families;

/// <summary>Typed, checked access to config.json, in the old style and in that of transformers 5. Absent and null are the same.</summary>
/// <param name="json">The part that describes the text model.</param>
/// <param name="file">Its path, for messages.</param>
/// <param name="whole">The whole file; null where <paramref name="json"/> is it.</param>
public sealed class ConfigReader(JsonObject json, string file, JsonObject? whole = null)
{
    /// <summary>Whether the output head is the embedding by this configuration.</summary>
    internal const string TieKey = "tie_word_embeddings";

    // Far beyond any model; more would keep whatever lists the tensors of all blocks busy for ever.
    private const int MostLayers = 1 << 14;

    /// <summary>Receives every key that is asked for; null where nobody wants to know.</summary>
    internal ISet<string>? Asked { get; init; }

    /// <summary>The file, for messages.</summary>
    internal string File => file;

    /// <summary>Value of <c>model_type</c>.</summary>
    internal string ModelType => Text("model_type") ?? (whole is null ? null : new ConfigReader(whole, file).Text("model_type")) ?? throw Missing("model_type");

    /// <summary>Whether a key is there.</summary>
    internal bool Has(string key) => At(key) is not null;

    /// <summary>Whether a key is there and null, which a family may take for something else than its absence.</summary>
    internal bool IsNull(string key)
    {
        Asked?.Add(key);
        return json.TryGetPropertyValue(key, out JsonNode? node) && node is null;
    }

    /// <summary>Whether the file says something about tied embeddings.</summary>
    internal static bool SaysTied(JsonObject whole, string? textKey) =>
        whole[TieKey] is not null || (textKey is not null && whole[textKey] is JsonObject text && text[TieKey] is not null);

    /// <summary>Whether the head is the embedding: the whole file's word, else the text part's, else the family's default.</summary>
    internal bool Tied(bool fallback) => whole?[TieKey] is not null ? new ConfigReader(whole, file).Flag(TieKey, fallback) : Flag(TieKey, fallback);

    /// <summary>Whether the text model is a part of another.</summary>
    internal bool IsNested => whole is not null;

    /// <summary>A window under a key; 0 where it is absent, null or 0.</summary>
    internal int Window(string key, int fallback = 0) => Count(key, fallback);

    /// <summary>A whole number of at least 0.</summary>
    internal int Count(string key, int fallback)
    {
        if (At(key) is not { } node) return fallback;
        int value = Whole(key, node);
        return value >= 0 ? value : throw Wrong(key, node, "must not be negative");
    }

    /// <summary>The word under a key; null where it is absent or no word.</summary>
    internal string? Word(string key) => At(key) is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    /// <summary>A flag that old files give as a number.</summary>
    internal bool Switch(string key, bool fallback) => At(key) is JsonValue value && value.GetValueKind() == JsonValueKind.Number ? Number(key) != 0 : Flag(key, fallback);

    /// <summary>
    /// Which layers rotate: those where <c>no_rope_layers</c> has a 1, or, where it is absent or empty, all but every n-th, n = <c>no_rope_layer_interval</c>.
    /// </summary>
    internal bool[] RotatedLayers(int layers)
    {
        IReadOnlyList<int> listed = Ids("no_rope_layers");
        if (listed.Count > 0 && listed.Count < layers) throw Wrong("no_rope_layers", At("no_rope_layers"), $"must have a number for each of {layers} layers");
        int every = Size("no_rope_layer_interval", 4);
        return [.. Enumerable.Range(0, layers).Select(layer => listed.Count > 0 ? listed[layer] != 0 : (layer + 1) % every != 0)];
    }

    /// <summary>The exception for a choice that a family does not have.</summary>
    internal UnsupportedModelException Unsupported(string key, string value) => new($"{file}: {key} {value} is not supported for {ModelType}.");

    /// <summary>Biases by a key.</summary>
    internal BiasRule Bias(string key, bool fallback) => new(key, Flag(key, fallback));

    /// <summary>A configuration inside this one; empty where it is absent.</summary>
    internal ConfigReader Part(string key) => new(Object(key) ?? [], $"{file}: {key}");

    /// <summary>The first of several keys that is there; the first where none is.</summary>
    internal string FirstOf(params ReadOnlySpan<string> keys)
    {
        foreach (string key in keys)
        {
            if (At(key) is not null) return key;
        }
        return keys[0];
    }

    /// <summary>A list of words, one per layer; null where it is absent.</summary>
    internal IReadOnlyList<string>? Words(string key, int count)
    {
        if (At(key) is not { } node) return null;
        if (node is not JsonArray list || list.Count < count) throw Wrong(key, node, $"must be a list of at least {count} words");
        return [.. list.Take(count).Select(item => item is JsonValue value && value.TryGetValue(out string? word) ? word : throw Wrong(key, node, "must hold words"))];
    }

    /// <summary>What kind of attention every layer has: <c>layer_types</c>, or what a rule says where it is absent.</summary>
    internal IReadOnlyList<string> LayerTypes(int layers, Func<int, bool> isFull) =>
        Words("layer_types", layers) ?? [.. Enumerable.Range(0, layers).Select(layer => isFull(layer) ? "full_attention" : "sliding_attention")];

    /// <summary>The window of every layer where <c>use_sliding_window</c> switches windows on, from <c>max_window_layers</c> on; 0 for none.</summary>
    internal int[] SwitchedWindows(int layers)
    {
        int window = Flag("use_sliding_window", false) ? Window("sliding_window") : 0, first = Count("max_window_layers", 28);
        return [.. LayerTypes(layers, layer => layer < first).Select(type => type == "sliding_attention" ? window : 0)];
    }

    /// <summary>Sizes and choices under the keys that most families have; a family changes what it has otherwise.</summary>
    internal DecoderConfig Decoder(FamilyDefaults? family = null)
    {
        FamilyDefaults usual = family ?? new FamilyDefaults();
        string heads = FirstOf("num_attention_heads", "n_head", "n_heads"), width = FirstOf("hidden_size", "n_embd", "n_embed", "d_model");
        int hidden = Size(width), count = Size(heads, usual.Heads);
        string keys = FirstOf("num_key_value_heads", "num_kv_heads");
        int keyValueHeads = Size(keys, usual.KeyValueHeads ?? count);
        if (count % keyValueHeads != 0) throw Wrong(keys, At(keys), $"must divide {heads}, {count}");
        if (At("head_dim") is null && usual.HeadSize is null && hidden % count != 0) throw Wrong(heads, At(heads), $"must divide {width}, {hidden}, when head_dim is absent");
        int size = Size("head_dim", usual.HeadSize ?? hidden / count);
        int positions = Size(FirstOf("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"), usual.Positions);
        return new DecoderConfig
        {
            ModelType = ModelType,
            HiddenSize = hidden,
            Layers = Size(FirstOf("num_hidden_layers", "n_layer", "n_layers"), usual.Layers, MostLayers),
            Heads = count,
            KeyValueHeads = keyValueHeads,
            HeadSize = size,
            IntermediateSize = Size(FirstOf(usual.IntermediateKey ?? "intermediate_size", "n_inner", "ffn_dim"), usual.Intermediate == FamilyDefaults.FourTimes ? 4 * hidden : usual.Intermediate),
            VocabularySize = Size("vocab_size", usual.Vocabulary),
            MaxPositions = positions,
            NormEpsilon = Epsilon(usual.EpsilonKey, usual.Epsilon),
            Activation = Activation(FirstOf(usual.ActivationKey ?? "hidden_act", "hidden_activation", "activation_function"), usual.Activation),
            Rope = usual.Rope is { } rope ? Rope(size, positions, rope) : new RopeConfig { Theta = 10000, RotatedSize = size },
            TiedEmbeddings = Tied(usual.Tied),
            BosId = Ids("bos_token_id") is [var bos, ..] ? bos : null,
            EosIds = Ids("eos_token_id"),
        };
    }

    /// <summary>A positive size, or the default when absent.</summary>
    internal int Size(string key, int? fallback = null, int most = 1 << 24)
    {
        JsonNode? node = At(key);
        if (node is null) return fallback ?? throw Missing(key);
        int value = Whole(key, node);
        return value > 0 && value <= most ? value : throw Wrong(key, node, $"must be a whole number from 1 to {most}");
    }

    internal float Epsilon(string key, float fallback)
    {
        double value = Number(key) ?? fallback;
        return value is >= 0 and < 1 ? (float)value : throw Wrong(key, At(key), "must lie in [0, 1)");
    }

    internal bool Flag(string key, bool fallback) => At(key) switch
    {
        null => fallback,
        JsonValue value when value.TryGetValue(out bool flag) => flag,
        var other => throw Wrong(key, other, "must be true or false"),
    };

    internal string? Text(string key) => At(key) switch
    {
        null => null,
        JsonValue value when value.TryGetValue(out string? text) => text,
        var other => throw Wrong(key, other, "must be a string"),
    };

    internal double? Number(string key)
    {
        Asked?.Add(key);
        return NumberOf(json, key);
    }

    /// <summary>Two bounds, the lower first; 0 and infinity where they are absent.</summary>
    internal (float Low, float High) Limits(string key)
    {
        if (At(key) is not { } node) return (0, float.PositiveInfinity);
        if (node is not JsonArray { Count: 2 } pair) throw Wrong(key, node, "must hold two numbers");
        float low = Bound(pair[0]) ?? 0, high = Bound(pair[1]) ?? float.PositiveInfinity;
        return low >= 0 && low < high ? (low, high) : throw Wrong(key, node, "must hold a number of at least 0 and a larger one");

        // Infinity stands as null where a file had to be made JSON, and as an object with its word in the style of transformers 5.
        float? Bound(JsonNode? item) => item is null || (item is JsonObject word && word["__float__"]?.ToString() == "Infinity") ? null : item is JsonValue value && value.GetValueKind() == JsonValueKind.Number
            ? (float)double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture)
            : throw Wrong(key, node, "must hold numbers");
    }

    /// <summary>Elements of a list; null where it is absent or none.</summary>
    internal int? ListLength(string key) => (At(key) as JsonArray)?.Count;

    /// <summary>A list of numbers; null where it is absent.</summary>
    internal float[]? Numbers(string key, int count)
    {
        if (At(key) is not { } node) return null;
        if (node is not JsonArray list || list.Count != count) throw Wrong(key, node, $"must be a list of {count} numbers");
        return [.. list.Select(item => item is JsonValue value && value.GetValueKind() == JsonValueKind.Number && double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture) is var number && double.IsFinite(number)
            ? (float)number
            : throw Wrong(key, node, "must hold finite numbers"))];
    }

    internal IReadOnlyList<int> Ids(string key) => At(key) switch
    {
        null => [],
        JsonArray list => [.. list.Select(item => item is null ? throw Wrong(key, list, "must hold whole numbers") : Whole(key, item))],
        var single => [Whole(key, single)],
    };

    /// <summary>The non-linearity named by <c>hidden_act</c>.</summary>
    internal Activation Activation(string key, string fallback)
    {
        string name = Text(key) ?? fallback;
        return name switch
        {
            "silu" or "swish" => Numerics.Activation.Silu,
            "gelu" => Numerics.Activation.GeluErf,
            "gelu_new" or "gelu_pytorch_tanh" or "gelu_fast" => Numerics.Activation.GeluTanh,
            "relu" => Numerics.Activation.Relu,
            "relu2" or "relu_squared" => Numerics.Activation.ReluSquared,
            _ => throw new UnsupportedModelException($"{file}: {key} '{name}' is not supported; supported are silu, gelu, gelu_new, gelu_pytorch_tanh, relu and relu2."),
        };
    }

    /// <summary>Rotary embedding, see <see cref="RopeReader"/>.</summary>
    internal RopeConfig Rope(int headSize, int maxPositions, RopeRule rule) => new RopeReader(this, json).Read(headSize, maxPositions, rule);

    internal CheckpointException Wrong(string key, JsonNode? value, string rule) =>
        new($"{file}: {key} is {value?.ToJsonString() ?? "absent"}; it {rule}.");

    internal CheckpointException Missing(string key) => new($"{file}: the key '{key}' is missing.");

    internal JsonObject? Object(string key) => At(key) switch
    {
        null => null,
        JsonObject found => found,
        var other => throw Wrong(key, other, "must be an object"),
    };

    private JsonNode? At(string key)
    {
        Asked?.Add(key);
        return json[key];
    }

    private int Whole(string key, JsonNode node)
    {
        // By its text, because a value made by a program (from GGUF metadata) answers only to the very type it was made with.
        if (node is JsonValue value && value.GetValueKind() == JsonValueKind.Number
            && double.TryParse(value.ToJsonString(), NumberStyles.Float, CultureInfo.InvariantCulture, out double real)
            && real == Math.Floor(real) && Math.Abs(real) < int.MaxValue)
        {
            return (int)real;
        }
        throw Wrong(key, node, "must be a whole number");
    }

    internal double? NumberOf(JsonObject from, string key) => from[key] switch
    {
        null => null,
        JsonValue value when value.GetValueKind() == JsonValueKind.Number => double.Parse(value.ToJsonString(), CultureInfo.InvariantCulture),
        var other => throw Wrong(key, other, "must be a number"),
    };
}
