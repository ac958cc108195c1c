using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;

namespace LowRankQuant.Tests.Readers;

/// <summary>
/// A checkpoint of llama2.c in its first format (no magic number), little-endian, presented as a Hugging Face Llama checkpoint.
/// </summary>
/// <remarks>
/// 7 x int32: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: untied), seq_len. Then fp32, each kind for all layers at once:
/// token_embedding [vocab, dim], rms_att [dim], wq [dim, dim], wk [kv, dim], wv [kv, dim], wo [dim, dim], rms_ffn [dim], w1 [hidden, dim] (gate),
/// w2 [dim, hidden] (down), w3 [hidden, dim] (up), rms_final [dim], two rotary tables [seq_len, headSize / 2], and wcls [vocab, dim] if untied.
/// llama2.c rotates neighbouring pairs (2j, 2j + 1) of a head, Hugging Face pairs (j, j + headSize / 2): the rows of wq and wk are reordered.
/// </remarks>
internal sealed class Llama2cCheckpoint
{
    public const float RopeTheta = 10000f;
    public const float RmsNormEpsilon = 1e-5f;
    private const int HeaderBytes = 28;

    private readonly Dictionary<string, NamedTensor> _tensors = [];

    private Llama2cCheckpoint(ReadOnlySpan<byte> file)
    {
        if (file.Length < HeaderBytes) throw new InvalidDataException($"A header of {HeaderBytes} bytes is needed, the file has {file.Length}.");
        Span<int> header = stackalloc int[7];
        for (int i = 0; i < header.Length; i++) header[i] = BinaryPrimitives.ReadInt32LittleEndian(file[(4 * i)..]);
        (HiddenSize, IntermediateSize, Layers, Heads, KeyValueHeads) = (header[0], header[1], header[2], header[3], header[4]);
        (VocabularySize, Tied, MaxPositions) = (Math.Abs(header[5]), header[5] > 0, header[6]);
        CheckHeader(header);
        long floats = FloatCount();
        if (file.Length != HeaderBytes + (4 * floats))
            throw new InvalidDataException($"The header asks for {HeaderBytes + (4 * floats)} bytes, the file has {file.Length}.");

        ReadOnlySpan<float> rest = MemoryMarshal.Cast<byte, float>(file[HeaderBytes..]);
        int keyValueSize = KeyValueHeads * HeadSize;
        TakeOne(ref rest, "model.embed_tokens.weight", VocabularySize, HiddenSize);
        TakeLayers(ref rest, "input_layernorm", HiddenSize, 0);
        TakeLayers(ref rest, "self_attn.q_proj", HiddenSize, HiddenSize, Heads);
        TakeLayers(ref rest, "self_attn.k_proj", keyValueSize, HiddenSize, KeyValueHeads);
        TakeLayers(ref rest, "self_attn.v_proj", keyValueSize, HiddenSize);
        TakeLayers(ref rest, "self_attn.o_proj", HiddenSize, HiddenSize);
        TakeLayers(ref rest, "post_attention_layernorm", HiddenSize, 0);
        TakeLayers(ref rest, "mlp.gate_proj", IntermediateSize, HiddenSize);
        TakeLayers(ref rest, "mlp.down_proj", HiddenSize, IntermediateSize);
        TakeLayers(ref rest, "mlp.up_proj", IntermediateSize, HiddenSize);
        TakeOne(ref rest, "model.norm.weight", HiddenSize, 0);
        RotaryCosines = Take(ref rest, MaxPositions * HeadSize / 2);
        RotarySines = Take(ref rest, MaxPositions * HeadSize / 2);
        if (!Tied) TakeOne(ref rest, "lm_head.weight", VocabularySize, HiddenSize);
        UnreadFloats = rest.Length;
    }

    public int HiddenSize { get; }

    public int IntermediateSize { get; }

    public int Layers { get; }

    public int Heads { get; }

    public int KeyValueHeads { get; }

    public int VocabularySize { get; }

    public int MaxPositions { get; }

    /// <summary>Whether the output head is the embedding (then there is no lm_head.weight).</summary>
    public bool Tied { get; }

    public int HeadSize => HiddenSize / Heads;

    /// <summary>Hugging Face name (model.layers.0.self_attn.q_proj.weight, ...) to tensor, for a half-split rotary model.</summary>
    public IReadOnlyDictionary<string, NamedTensor> Tensors => _tensors;

    /// <summary>The stored rotary tables [MaxPositions, HeadSize / 2]; a model computes its own.</summary>
    public float[] RotaryCosines { get; }

    public float[] RotarySines { get; }

    public int UnreadFloats { get; }

    /// <summary>The config.json of a Hugging Face folder with these weights.</summary>
    public string ConfigJson => string.Create(CultureInfo.InvariantCulture, $$"""
        {
          "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "torch_dtype": "float32",
          "hidden_size": {{HiddenSize}}, "intermediate_size": {{IntermediateSize}}, "num_hidden_layers": {{Layers}},
          "num_attention_heads": {{Heads}}, "num_key_value_heads": {{KeyValueHeads}}, "vocab_size": {{VocabularySize}},
          "max_position_embeddings": {{MaxPositions}}, "rms_norm_eps": {{RmsNormEpsilon}}, "rope_theta": {{RopeTheta}},
          "tie_word_embeddings": {{(Tied ? "true" : "false")}}, "bos_token_id": 1, "eos_token_id": 2
        }
        """);

    public static Llama2cCheckpoint Load(string path) => new(File.ReadAllBytes(path));

    public static Llama2cCheckpoint Parse(ReadOnlySpan<byte> file) => new(file);

    private void CheckHeader(ReadOnlySpan<int> header)
    {
        for (int i = 0; i < header.Length; i++)
        {
            int value = i == 5 ? VocabularySize : header[i];
            if (value is > 0 and <= 1 << 20) continue;
            throw new InvalidDataException($"Header field {i} is {header[i]}: not a llama2.c checkpoint of the first format.");
        }
        if (HiddenSize % Heads != 0 || HeadSize % 2 != 0 || Heads % KeyValueHeads != 0)
            throw new InvalidDataException($"{Heads} heads and {KeyValueHeads} key/value heads do not fit a width of {HiddenSize}.");
    }

    private long FloatCount()
    {
        long d = HiddenSize, kv = (long)KeyValueHeads * HeadSize, table = (long)VocabularySize * d;
        long layer = (2 * d) + (2 * d * d) + (2 * kv * d) + (3 * d * IntermediateSize);
        return table + (Layers * layer) + d + ((long)MaxPositions * HeadSize) + (Tied ? 0 : table);
    }

    private void TakeLayers(ref ReadOnlySpan<float> rest, string name, int rows, int columns, int rotatedHeads = 0)
    {
        for (int layer = 0; layer < Layers; layer++)
        {
            string key = $"model.layers.{layer}.{name}.weight";
            TakeOne(ref rest, key, rows, columns);
            if (rotatedHeads > 0) _tensors[key] = new([rows, columns], ToHalfSplit(_tensors[key].Values, rotatedHeads, HeadSize, columns));
        }
    }

    // columns = 0: a vector.
    private void TakeOne(ref ReadOnlySpan<float> rest, string key, int rows, int columns) =>
        _tensors.Add(key, new(columns == 0 ? [rows] : [rows, columns], Take(ref rest, rows * Math.Max(columns, 1))));

    private static float[] Take(ref ReadOnlySpan<float> rest, int count)
    {
        float[] taken = rest[..count].ToArray();
        rest = rest[count..];
        return taken;
    }

    /// <summary>Within each head, rows 0, 2, 4, ... come first, then rows 1, 3, 5, ...</summary>
    internal static float[] ToHalfSplit(float[] interleaved, int heads, int headSize, int columns)
    {
        float[] result = new float[interleaved.Length];
        for (int head = 0; head < heads; head++)
        {
            for (int row = 0; row < headSize; row++)
            {
                int target = (row / 2) + (row % 2 * headSize / 2);
                interleaved.AsSpan(((head * headSize) + row) * columns, columns).CopyTo(result.AsSpan(((head * headSize) + target) * columns));
            }
        }
        return result;
    }
}
