namespace LowRankQuant.Tests.Readers;

/// <summary>
/// A Llama forward pass in double precision from nothing but loops: the textbook to check readers and fast models against. Half-split rotary,
/// grouped key/value heads, SwiGLU.
/// </summary>
internal sealed class PlainLlama(Llama2cCheckpoint model)
{
    /// <summary>Logits [ids.Length, vocabulary] at positions 0, 1, ...</summary>
    public double[][] Logits(ReadOnlySpan<int> ids)
    {
        float[] embedding = Weight("model.embed_tokens");
        int d = model.HiddenSize;
        double[][] x = new double[ids.Length][];
        for (int t = 0; t < x.Length; t++) x[t] = [.. embedding.AsSpan(ids[t] * d, d).ToArray().Select(value => (double)value)];
        for (int layer = 0; layer < model.Layers; layer++)
        {
            string prefix = $"model.layers.{layer}.";
            double[][] attention = Attention(Norm(x, prefix + "input_layernorm"), prefix + "self_attn.");
            Add(x, Linear(attention, prefix + "self_attn.o_proj"));
            double[][] input = Norm(x, prefix + "post_attention_layernorm");
            double[][] gate = Linear(input, prefix + "mlp.gate_proj"), up = Linear(input, prefix + "mlp.up_proj");
            for (int t = 0; t < x.Length; t++)
            {
                for (int i = 0; i < gate[t].Length; i++) gate[t][i] *= up[t][i] / (1 + Math.Exp(-gate[t][i]));
            }
            Add(x, Linear(gate, prefix + "mlp.down_proj"));
        }
        return Linear(Norm(x, "model.norm"), model.Tied ? "model.embed_tokens" : "lm_head");
    }

    /// <summary>Mean negative log-likelihood of ids[1..], in nats.</summary>
    public double MeanLoss(ReadOnlySpan<int> ids)
    {
        double[][] logits = Logits(ids[..^1]);
        double sum = 0;
        for (int t = 0; t < logits.Length; t++)
        {
            double largest = logits[t].Max();
            sum += largest + Math.Log(logits[t].Sum(value => Math.Exp(value - largest))) - logits[t][ids[t + 1]];
        }
        return sum / logits.Length;
    }

    private float[] Weight(string name) => model.Tensors[name + ".weight"].Values;

    private double[][] Attention(double[][] x, string prefix)
    {
        int size = model.HeadSize, share = model.Heads / model.KeyValueHeads;
        double[][] q = Linear(x, prefix + "q_proj"), k = Linear(x, prefix + "k_proj"), v = Linear(x, prefix + "v_proj");
        Rotate(q);
        Rotate(k);
        double[][] result = new double[x.Length][];
        for (int t = 0; t < x.Length; t++)
        {
            result[t] = new double[model.HiddenSize];
            for (int head = 0; head < model.Heads; head++)
            {
                int from = head / share * size, to = head * size;
                double[] score = new double[t + 1];
                for (int past = 0; past <= t; past++)
                {
                    for (int i = 0; i < size; i++) score[past] += q[t][to + i] * k[past][from + i] / Math.Sqrt(size);
                }
                double largest = score.Max(), total = score.Sum(value => Math.Exp(value - largest));
                for (int past = 0; past <= t; past++)
                {
                    double weight = Math.Exp(score[past] - largest) / total;
                    for (int i = 0; i < size; i++) result[t][to + i] += weight * v[past][from + i];
                }
            }
        }
        return result;
    }

    private void Rotate(double[][] x)
    {
        int size = model.HeadSize, half = size / 2;
        for (int t = 0; t < x.Length; t++)
        {
            for (int at = 0; at < x[t].Length; at += size)
            {
                for (int i = 0; i < half; i++)
                {
                    double angle = t * Math.Pow(Llama2cCheckpoint.RopeTheta, -2.0 * i / size), a = x[t][at + i], b = x[t][at + i + half];
                    x[t][at + i] = (a * Math.Cos(angle)) - (b * Math.Sin(angle));
                    x[t][at + i + half] = (b * Math.Cos(angle)) + (a * Math.Sin(angle));
                }
            }
        }
    }

    private double[][] Norm(double[][] x, string name)
    {
        float[] weight = Weight(name);
        return [.. x.Select(row =>
        {
            double scale = 1 / Math.Sqrt((row.Sum(value => value * value) / row.Length) + Llama2cCheckpoint.RmsNormEpsilon);
            return row.Select((value, i) => value * scale * weight[i]).ToArray();
        })];
    }

    private double[][] Linear(double[][] x, string name)
    {
        NamedTensor weight = model.Tensors[name + ".weight"];
        return [.. x.Select(row =>
        {
            if (row.Length != weight.Columns) throw new InvalidDataException($"{row.Length} inputs for {weight.Columns} columns of {name}.");
            double[] result = new double[weight.Rows];
            for (int o = 0; o < result.Length; o++)
            {
                for (int i = 0; i < row.Length; i++) result[o] += row[i] * weight.Values[(o * row.Length) + i];
            }
            return result;
        })];
    }

    private static void Add(double[][] x, double[][] y)
    {
        for (int t = 0; t < x.Length; t++)
        {
            for (int i = 0; i < x[t].Length; i++) x[t][i] += y[t][i];
        }
    }
}
