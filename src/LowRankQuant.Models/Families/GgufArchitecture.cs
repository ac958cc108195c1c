using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families;

/// <summary>Which elements of a head llama.cpp rotates with each other in an architecture.</summary>
internal enum GgufPairs
{
    /// <summary>j and j + r/2 (NEOX there).</summary>
    Halves,

    /// <summary>2j and 2j + 1 (NORM there): rows of q and k of models that rotate halves lie in another order in the file.</summary>
    Neighbours,

    /// <summary>Nothing is rotated.</summary>
    None,
}

/// <summary>Tensors that stand for the angles of the rotary embedding.</summary>
internal enum GgufRopeTensors
{
    /// <summary>None.</summary>
    None,

    /// <summary><c>rope_freqs.weight</c>: divisors of the frequencies.</summary>
    Divisors,

    /// <summary><c>rope_factors_short.weight</c> and <c>rope_factors_long.weight</c>: the two lists of LongRoPE.</summary>
    ShortAndLong,
}

/// <summary>
/// An architecture as GGUF names it, and what a family has there: names of tensors, how they lie, keys of the metadata, and what llama.cpp cannot do. One per name and
/// kind of model; a family lists its own.
/// </summary>
/// <remarks>Source: ggml-org/llama.cpp, src/llama-arch.cpp, src/llama-model.cpp and conversion rules of gguf-py.</remarks>
internal sealed record GgufArchitecture
{
    /// <summary><c>general.architecture</c>.</summary>
    public required string Name { get; init; }

    /// <summary><c>model_type</c> of the config.json that a file stands for.</summary>
    public required string ModelType { get; init; }

    /// <summary>Other values of <c>model_type</c> that are written so.</summary>
    public IReadOnlyList<string> AlsoWrites { get; init; } = [];

    /// <summary>Its <c>architectures</c>.</summary>
    public required string Class { get; init; }

    /// <summary>Whether a file of this name is one of this kind.</summary>
    public Func<GgufReading, bool> Reads { get; init; } = _ => true;

    /// <summary>Whether a model of these types is one of this kind.</summary>
    public Func<ConfigReader, bool> Writes { get; init; } = _ => true;

    /// <summary>Which elements rotate with each other.</summary>
    public GgufPairs Pairs { get; init; }

    /// <summary>Tensors that may stand for angles.</summary>
    public GgufRopeTensors RopeTensors { get; init; }

    /// <summary>Whether rows of q and k lie as for pairs of neighbours although nothing rotates.</summary>
    public bool OrdersUnrotated { get; init; }

    /// <summary>Whether of heads of which a part rotates the rows of that part alone lie in the order of neighbours.</summary>
    public bool OrdersPart { get; init; }

    /// <summary>Whether the engine rotates whole heads only.</summary>
    public bool RotatesWholeHeads { get; init; }

    /// <summary>Whether there are heads of attention; else the keys about them say nothing.</summary>
    public bool HasHeads { get; init; } = true;

    /// <summary>Whether the engine takes the heads of queries together for as wide as the stream.</summary>
    public bool SquareAttention { get; init; }

    /// <summary>Whether config.json has to say which part of a head rotates, also where it is the whole, since the family's default is less.</summary>
    public bool SaysPart { get; init; }

    /// <summary>Names outside the blocks, in the order of the file, without <c>.weight</c> and <c>.bias</c> where these are at the end of both.</summary>
    public IReadOnlyList<(string Model, string File)> Outer { get; init; } = [("model.norm", "output_norm")];

    /// <summary>
    /// Names within a block, likewise; <c>*</c> stands for a number. Several of one name in the file lie there one behind the other, those with numbers as a stack; one of several
    /// names in the file lies there in parts, which <see cref="Layout"/> tells.
    /// </summary>
    public IReadOnlyList<(string Model, string File)> Names { get; init; } = GgufNames.Usual;

    /// <summary>
    /// Tensors of one element within a block that the file has as metadata, a number for every block under a key without the architecture's name.
    /// </summary>
    public IReadOnlyList<(string Model, string Key)> Numbers { get; init; } = [];

    /// <summary>Names in the file whose biases the engine knows; others would have no place.</summary>
    public IReadOnlyList<string> Biased { get; init; } = GgufNames.BiasedInputs;

    /// <summary>
    /// How a tensor of the file holds the model's, by its name within a block (or its whole name outside); null for rows as they are.
    /// </summary>
    public Func<GgufSubject, string, GgufLayout?> Layout { get; init; } = (_, _) => null;

    /// <summary>Added to the weights of norms.</summary>
    public float NormOffset { get; init; }

    /// <summary>Names in the file of norms to whose weights nothing is added.</summary>
    public IReadOnlyList<string> PlainNorms { get; init; } = [];

    /// <summary>Whether the engine wants an output head of its own, though it be the embedding.</summary>
    public bool WantsHead { get; init; }

    /// <summary>Whether the engine knows no head but the embedding.</summary>
    public bool TiedOnly { get; init; }

    /// <summary>Non-linearities that the engine computes in this architecture.</summary>
    public IReadOnlyList<Activation> Activations { get; init; } = [Activation.Silu];

    /// <summary>What <c>hidden_act</c> of a config.json made of a file says.</summary>
    public string ActivationName { get; init; } = "silu";

    /// <summary>Key of the norms' epsilon in a file.</summary>
    public string Epsilon { get; init; } = "attention.layer_norm_rms_epsilon";

    /// <summary>What config.json calls things, by the usual keys; an empty name leaves a key out.</summary>
    public IReadOnlyDictionary<string, string> ConfigKeys { get; init; } = new Dictionary<string, string>();

    /// <summary>Keys of config.json that say whether there are biases, with the beginning of the names in the file whose biases tell it.</summary>
    public IReadOnlyList<(string Key, string Tensors)> BiasKeys { get; init; } = [("attention_bias", "attn_"), ("mlp_bias", "ffn_")];

    /// <summary>Keys beside the usual ones, or in their place.</summary>
    public IReadOnlyList<GgufField> Fields { get; init; } = [];

    /// <summary>Ends of names of tensors that a file may hold and that are not computed with.</summary>
    public IReadOnlyList<string> Unused { get; init; } = [];

    /// <summary>Whether published models have the borders of YaRN's ramp as they are, which the engine rounds: told, not refused.</summary>
    public bool RoundsRamp { get; init; }

    /// <summary>The attention window of a model where the engine has none; 0 for none. A file then says that the model's context is no longer than that.</summary>
    public Func<GgufSubject, int> MissingWindow { get; init; } = _ => 0;

    /// <summary>Keys that are read and say nothing more.</summary>
    public IReadOnlyList<string> Harmless { get; init; } = [];

    /// <summary>What the engine would compute otherwise, a sentence each, so that no file is written.</summary>
    public Func<GgufSubject, IEnumerable<string>> Problems { get; init; } = _ => [];

    /// <summary>What the user of a file should know.</summary>
    public Func<GgufSubject, IEnumerable<string>> Warnings { get; init; } = _ => [];

    /// <summary>The key of config.json for a usual one; null for one that the family leaves out.</summary>
    public string? ConfigKey(string usual) => !ConfigKeys.TryGetValue(usual, out string? own) ? usual : own.Length == 0 ? null : own;
}
