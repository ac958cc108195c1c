using System.Text;

namespace LowRankQuant.Tests.Tokenizers;

/// <summary>The .inp and .out files of llama.cpp's tokenizer tests.</summary>
internal static class LlamaCppCases
{
    private const string Separator = "\n__ggml_vocab_test__\n";

    public static void Check(string name, Func<string, int[]> encode)
    {
        string path = TestData.Path("tokenizers", "llamacpp", $"ggml-vocab-{name}.gguf");
        string[] inputs = File.ReadAllText(path + ".inp").Split(Separator);
        string[] outputs = File.ReadAllText(path + ".out").Split('\n');
        StringBuilder differences = new();
        int compared = 0;
        // The inputs end with a separator, the outputs with a line break.
        for (int i = 0; i < inputs.Length && i < outputs.Length; i++)
        {
            int[] expected = [.. outputs[i].Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)];
            GoldenTokens.Same($"{name} {i} {inputs[i]}", expected, encode(inputs[i]), differences);
            compared++;
        }
        Assert.True(differences.Length == 0, differences.ToString());
        Assert.InRange(compared, 40, 60);
    }
}
