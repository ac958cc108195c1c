namespace LowRankQuant.Benchmarks;

internal static class Program
{
    private static readonly Dictionary<string, (Func<Options, int> Run, string Help)> Verbs = new(StringComparer.Ordinal)
    {
        ["gemm"] = (
            GemmBenchmark.Run,
            "matrix products, managed against a system BLAS [--threads N] [--blas LIBRARY] [--repeats N] [--only WORD] [--bits N] [--clock cpu]"),
        ["integers"] = (
            IntegerBenchmark.Run,
            "products of integer codes against products of floats, a table [--threads N] [--repeats N] [--only SCHEME] [--shapes ROWSxINxOUT] [--clock cpu]"),
        ["block"] = (
            BlockBenchmark.Run,
            "one Llama block forward and backward, as JSON lines [--model NAME] [--kernels NAME] [--precision fp32|bf16] [--threads N] [--repeats N] [--warmup N] [--batch N] [--length N]"),
        ["delta-rule"] = (
            DeltaRuleBenchmark.Run,
            "the gated delta rule in chunks against token after token, forward and backward, a table [--length N] [--heads N] [--size N] [--repeats N] [--threads N] [--kernels NAME]"),
        ["lrq-step"] = (
            StepBenchmark.Run,
            "one training step of LRQ, as JSON lines [--model NAME] [--kernels NAME] [--precision fp32|bf16] [--threads N] [--repeats N] [--warmup N] [--batch N] [--length N] [--rank N] [--bits N] [--rate X]"),
        ["state-space"] = (
            StateSpaceBenchmark.Run,
            "the recurrences of Mamba-2 and Mamba-1, token by token, in chunks and backwards, a table [--threads N] [--heads N] [--groups N] [--state N] [--channels N] [--repeats N] [--clock cpu]"),
        ["sketch"] = (
            SketchBenchmark.Run,
            "R1-Sketch and its block form against a randomized and a full SVD [--threads N] [--ranks N] [--width N] [--repeats N] [--largest-svd N]"),
        ["flrq-block"] = (
            FlrqBlockBenchmark.Run,
            "FLRQ over the seven matrices of a Llama-2-7B block [--method flrq|flrq+] [--bits N] [--tokens N] [--group-size N] [--threads N] [--only q,down]"),
        ["tasks"] = (
            TaskBenchmark.Run,
            "items per second of evaluation tasks against one forward pass per choice, as JSON lines --model MODEL --data FOLDER [--tasks LIST] [--limit N] "
            + "[--baseline N] [--harness NAME] [--threads N]; with [--profile 1] the share of every operation instead"),
        ["stream"] = (
            StreamBenchmark.Run,
            "a long text read, tokenized and cut into windows, as a JSON line --model MODEL --text FILE [--millions N] [--part N] [--whole 1]"),
        ["llamacpp"] = (
            LlamaCppBenchmark.Run,
            "GGUF files in llama.cpp, as JSON lines: perplexity, divergence from the first, perplexity of the same model here --files F16.gguf[=MODEL],BASE.gguf@ADAPTER.gguf[=MODEL],... "
            + "--text FILE [--tokenizer MODEL] [--windows N] [--context N] [--threads N] [--exact yes] [--prompt TEXT]"),
        ["eval-speed"] = (
            EvalSpeedBenchmark.Run,
            "tokens a second of perplexity, ours and llama.cpp's in turns on the same GGUF files, as JSON lines --files FILE,... --text FILE [--windows N] [--context N] [--repeats N] [--threads N] [--kernels NAME]"),
        ["gguf-export"] = (
            LlamaCppBenchmark.Export,
            "a model as GGUF, with types for what lies on no grid --model MODEL --out FILE [--linear TYPE] [--embedding TYPE] [--adapter FILE]"),
        ["gguf-families"] = (
            GgufFamilies.Run,
            "reference checkpoints of every family as GGUF in llama.cpp and read back, a table --golden FOLDER [--only NAMES] [--despite yes]: also those that are refused"),
        ["llamacpp-quantize"] = (
            LlamaCppBenchmark.Quantize,
            "llama.cpp's own quantizer --model FLOATS.gguf --out FILE --type Q4_0|Q3_K_M|Q2_K|... [--pure yes] [--embedding TYPE] [--threads N] "
            + "[--calibration TEXT] [--windows N]: with an importance matrix of that text"),
        ["make-family"] = (
            SyntheticFamily.Run,
            "a random checkpoint of any family from its config.json --config FILE --out FOLDER [--tokenizer FOLDER] [--shard-mb N]"),
        ["make-llama"] = (
            SyntheticModel.Llama,
            "a random Llama checkpoint, of 1.1 billion weights if nothing is said --out FOLDER [--spectrum yes] [--filled BLOCKS] [--tokenizer FOLDER] [--hidden N] [--layers N] [--heads N] [--kv-heads N] [--head N] "
            + "[--ffn N] [--vocabulary N] [--shard-mb N]"),
        ["make-moe"] = (
            SyntheticModel.Moe,
            "a random Qwen 3 checkpoint with experts, of 3.3 billion weights --out FOLDER [--tokenizer FOLDER] [--hidden N] [--layers N] [--heads N] [--kv-heads N] [--head N] "
            + "[--experts N] [--width N] [--chosen N] [--vocabulary N] [--shard-mb N]"),
    };

    private static int Main(string[] arguments)
    {
        if (arguments.Length > 0 && Verbs.TryGetValue(arguments[0], out (Func<Options, int> Run, string Help) verb))
        {
            return verb.Run(new Options(arguments));
        }
        Console.Error.WriteLine("Usage: LowRankQuant.Benchmarks VERB [options]");
        foreach ((string name, (_, string help)) in Verbs) Console.Error.WriteLine($"  {name}: {help}");
        return 2;
    }
}
