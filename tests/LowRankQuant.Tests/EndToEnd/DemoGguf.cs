using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Tests.Formats;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>The demo as a GGUF file with Q4_0 linears: a model that somebody else quantized. It has no vocabulary.</summary>
internal static class DemoGguf
{
    private const uint F32 = 0, Q4 = 2, Uint32 = 4, Float32 = 6, Text = 8;
    private const int Block = 32;

    private static readonly (string Gguf, string HuggingFace)[] Parts =
    [
        ("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm"), ("attn_q", "self_attn.q_proj"), ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj"), ("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj"),
    ];

    public static void Write(string path)
    {
        using HuggingFaceCheckpoint demo = HuggingFaceCheckpoint.Open(TestData.Demo);
        var config = demo.Config;
        var file = new GgufBuilder().Key("general.architecture", Text, [.. BitConverter.GetBytes(5L), .. "llama"u8]);
        foreach ((string key, int value) in new[]
        {
            ("embedding_length", config.HiddenSize), ("block_count", config.Layers), ("attention.head_count", config.Heads),
            ("attention.head_count_kv", config.KeyValueHeads), ("feed_forward_length", config.IntermediateSize), ("context_length", config.MaxPositions),
        })
        {
            file.Key($"llama.{key}", Uint32, BitConverter.GetBytes(value));
        }
        file.Key("llama.attention.layer_norm_rms_epsilon", Float32, BitConverter.GetBytes(config.NormEpsilon));
        Add("token_embd.weight", "model.embed_tokens.weight", 0);
        Add("output_norm.weight", "model.norm.weight", 0);
        for (int block = 0; block < config.Layers; block++)
        {
            foreach ((string gguf, string huggingFace) in Parts)
            {
                int heads = gguf == "attn_q" ? config.Heads : gguf == "attn_k" ? config.KeyValueHeads : 0;
                Add($"blk.{block}.{gguf}.weight", $"model.layers.{block}.{huggingFace}.weight", heads);
            }
        }
        File.WriteAllBytes(path, file.Build());

        void Add(string name, string source, int heads)
        {
            IReadOnlyList<int> shape = demo.ShapeOf(source);
            var values = new float[shape.Aggregate(1, (product, size) => product * size)];
            demo.Read(source, values);
            if (heads > 0) values = Interleaved(values, heads, shape[0], shape[1]);
            bool linear = name.StartsWith("blk", StringComparison.Ordinal) && shape.Count == 2;
            file.Tensor(name, linear ? Q4 : F32, [.. shape.Reverse().Select(size => (long)size)], linear ? Quantize(values) : [.. values.SelectMany(BitConverter.GetBytes)]);
        }
    }

    // Row i * half + j of a head becomes row 2 j + i.
    private static float[] Interleaved(float[] matrix, int heads, int rows, int columns)
    {
        int size = rows / heads, half = size / 2;
        var result = new float[matrix.Length];
        for (int row = 0; row < rows; row++)
        {
            int head = row / size, i = row % size / half, j = row % half;
            matrix.AsSpan(row * columns, columns).CopyTo(result.AsSpan(((head * size) + (2 * j) + i) * columns));
        }
        return result;
    }

    // Blocks of 32: an fp16 step, the value of largest magnitude over -8, and 16 bytes with the codes of elements i and i + 16.
    private static byte[] Quantize(float[] values)
    {
        var bytes = new List<byte>();
        foreach (float[] block in values.Chunk(Block))
        {
            Half step = (Half)(block.MaxBy(Math.Abs) / -8);
            bytes.AddRange(BitConverter.GetBytes(step));
            int Code(float value) => (float)step == 0 ? 8 : (int)Math.Clamp(MathF.Round(value / (float)step) + 8, 0, 15);
            for (int i = 0; i < Block / 2; i++) bytes.Add((byte)(Code(block[i]) | (Code(block[i + (Block / 2)]) << 4)));
        }
        return [.. bytes];
    }
}
