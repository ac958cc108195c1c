using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Quantization.Recipes.Files;

namespace LowRankQuant.Fuzz;

/// <summary>First inputs of every target: small files of the reference data (<c>LRQ_DATA</c>), of the demo model, and some written here.</summary>
internal static class SeedCorpus
{
    // Mutations of long inputs seldom hit what matters.
    private const long Largest = 24 << 10;
    private const int MostChildren = 400;

    /// <summary>Writes a folder for each target.</summary>
    public static void Write(string folder)
    {
        foreach (FuzzTarget target in FuzzTarget.All) Directory.CreateDirectory(Path.Combine(folder, target.Name));
        string? data = Environment.GetEnvironmentVariable("LRQ_DATA");
        string demo = Path.Combine(Root(), "models", "demo");
        foreach (string ready in ReadyRecipes.Names) Add(folder, "yaml", ready, Encoding.UTF8.GetBytes(ReadyRecipes.Find(ready)! + "data: {calibration: [a.txt]}\n"));
        foreach ((string target, string text) in HandWritten()) Add(folder, target, "hand", Encoding.UTF8.GetBytes(text));
        Add(folder, "safetensors", "hand", Safetensors("""{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}""", 10));
        Add(folder, "gguf", "hand-spm", GgufSeed.Model(bpe: false));
        Add(folder, "gguf", "hand-bpe", GgufSeed.Model(bpe: true));
        string[] roots = data is null ? [] : [.. new[] { "golden", "models", "tokenizers", "data" }.Select(part => Path.Combine(data, part)).Where(Directory.Exists)];
        foreach (string root in roots.Prepend(demo))
        {
            foreach (string file in Directory.EnumerateFiles(root, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)) AddFile(folder, file);
        }
        foreach (FuzzTarget target in FuzzTarget.All) Console.WriteLine($"{target.Name}: {Directory.GetFiles(Path.Combine(folder, target.Name)).Length} seeds");
    }

    private static void AddFile(string folder, string file)
    {
        string name = Path.GetFileName(file), origin = Path.GetFileName(Path.GetDirectoryName(file)!) + "-" + name;
        long length = new FileInfo(file).Length;
        switch (name)
        {
            case "tokenizer.json" when length < 64 << 20:
                Add(folder, "tokenizer", origin, Short(file));
                return;
            case "tokenizer_config.json":
                Add(folder, "tokenizer", origin, File.ReadAllBytes(file));
                Add(folder, "template", origin, File.ReadAllBytes(file));
                return;
            case "config.json" or "adapter_config.json" when length < Largest:
                Add(folder, "config", origin, File.ReadAllBytes(file));
                return;
            default:
                break;
        }
        switch (Path.GetExtension(file))
        {
            case ".safetensors" when length < Largest:
                Add(folder, "safetensors", origin, File.ReadAllBytes(file));
                break;
            case ".gguf" when length < Largest:
                Add(folder, "gguf", origin, File.ReadAllBytes(file));
                break;
            case ".jsonl":
                Add(folder, "jsonl", origin, FirstLines(file));
                break;
            case ".jinja":
                Add(folder, "template", origin, File.ReadAllBytes(file));
                break;
            default:
                break;
        }
    }

    private static void Add(string folder, string target, string origin, byte[] bytes)
    {
        string name = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes))[..8];
        if (bytes.Length is > 0 and < (int)(4 * Largest)) File.WriteAllBytes(Path.Combine(folder, target, $"{origin}-{name}"), bytes);
    }

    private static byte[] FirstLines(string file) => Encoding.UTF8.GetBytes(string.Join('\n', File.ReadLines(file).Where(line => line.Length < 2000).Take(3)) + "\n");

    /// <summary>A JSON file with lists and objects cut short, which keeps every component and some of the vocabulary.</summary>
    private static byte[] Short(string file)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(file));
        JsonNode root = Cut(document.RootElement)!;
        if (root["model"] is JsonObject { } model && model["vocab"] is JsonObject vocabulary && model["merges"] is JsonArray merges)
            model["merges"] = new JsonArray([.. merges.Where(merge => Parts(merge!) is [var left, var right] && vocabulary.ContainsKey(left) && vocabulary.ContainsKey(right) && vocabulary.ContainsKey(left + right)).Select(merge => merge!.DeepClone())]);
        return JsonSerializer.SerializeToUtf8Bytes(root);

        static string[] Parts(JsonNode merge) => merge is JsonArray pair ? [.. pair.Select(part => (string)part!)] : ((string)merge!).Split(' ');

        static JsonNode? Cut(JsonElement element) => element.ValueKind switch
        {
            JsonValueKind.Array => new JsonArray([.. element.EnumerateArray().Take(MostChildren).Select(Cut)]),
            JsonValueKind.Object => new JsonObject(element.EnumerateObject().Take(MostChildren).Select(entry => KeyValuePair.Create(entry.Name, Cut(entry.Value)))),
            _ => JsonNode.Parse(element.GetRawText()),
        };
    }

    private static byte[] Safetensors(string header, int data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        return [.. BitConverter.GetBytes((long)json.Length), .. json, .. new byte[data]];
    }

    private static string Root()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "LowRankQuant.slnx"))) folder = Path.GetDirectoryName(folder);
        return folder ?? throw new DirectoryNotFoundException("The project's folder is not above this program.");
    }

    private static IEnumerable<(string Target, string Text)> HandWritten() =>
    [
        ("template", "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m.content | trim }}{% if loop.last and add_generation_prompt %}{{ eos_token }}{% endif %}{% endfor %}"),
        ("template", "{%- set ns = namespace(found=false, n=0) -%}{%- for m in messages[1:] if m.role != 'system' -%}{%- set ns.n = ns.n + 1 -%}{{ loop.index0 ~ m.content.split('</think>')[-1].lstrip('\\n') }}{%- else -%}none{%- endfor -%}"),
        ("template", "{% set x %}a{{ 1 }}{% endset %}{{ x|upper|replace('A', 'b')|default('q', true) }}{{ [1, 2, 'x'][::-1]|join(',') }}{{ messages[0]|tojson }}{{ range(0, 3)|length }}"),
        ("template", "{{ raise_exception('no') if messages|length % 2 == 1 and not (tools is defined and tools is not none) else 'x' in 'xy' }}{# c #}{{ -2 // 3 * 4 }}"),
        ("template", "{% macro f(v, q=true) %}{% if v is mapping %}{% for k, x in v|dictsort %}{{ k }}:{{ f(x, q=q) }}{% endfor %}{% else %}{{ v|title }}{% endif %}{% endmacro %}{{ f({'a': {'b': 1.5}}) }}{{ f(messages[0]) }}"),
        ("template", "{% for m in messages|selectattr('role', 'in', ['user'])|map(attribute='content')|list %}{% if loop.first %}{% continue %}{% endif %}{{ m.rsplit(' ', 1)|last|indent(2, true) }}{% break %}{% endfor %}"),
        ("template", "{% raw %}{{ x }}{% endraw %}{% set a, (b, c) = 1, 'xy' %}{{ '%s-%d' % (b, a) }}{{ '{} {0}'.format(c) }}{{ (a, [b], {'c': c})|string * 2 }}{{ [3, 1]|sort(reverse=true)|sum ** 2 }}{{ strftime_now('%Y') if strftime_now is defined }}"),
        ("recipe", """{"name": "quiz", "file": "quiz.csv", "context": "Q: {{question}}\nA:", "choices": ["a", "b", "c"], "answer": "right", "answerForm": "Letter"}"""),
        ("recipe", """{"name": "q", "file": "quiz.jsonl", "context": "{{ question }}{{n}}", "choices": ["choices"], "answer": "right", "answerForm": "Index", "delimiter": "", "normalized": false}"""),
        ("recipe", """{"name": "q", /* c */ "file": "quiz.csv", "context": "", "choices": ["a", "b"], "answer": "a", "answerForm": "Text",}"""),
        ("yaml", """
            preset: fast
            weights: {bits: 3, group_size: 64, symmetric: false, scale_dtype: fp16}
            layers:
              - {match: down_proj, bits: 4, group_size: channel}
              - {match: 're:^(0|2)\.', bits: 5, symmetric: true}
            blocks:
              - {blocks: [0, 2], stage: {flexround: {iterations: 5}}, seed: 7}
            stages: [{lrq: {rank: 8, iterations: 10, learning_rate: 1e-3, keep_best: false}}, {tune: {steps: 4, rate: 0.001, batch: 2, samples: 8}}]
            data: {calibration: [a.txt, b.jsonl], text_field: body, samples: 8, held_out: 2, sequence_length: 64}
            evaluation: {eval_text: c.txt, eval_windows: 1}
            output: {format: dense, shard_size: 5G}
            precision: bf16
            seed: 18446744073709551615
            """),
        ("yaml", """
            activations: 8:tensor:asymmetric
            activation_range: percentile:99.9
            per_token: [down_proj, 're:(v|k)+_proj$', 'auto:0.3']
            cache: 8:head
            keys: after
            stages:
              - rotation
              - smoothquant: {alpha: auto}
              - rtn
            data: {calibration: self}
            """),
        ("yaml", """
            weights: {bits: 4, group_size: 32}
            embedding: 8
            head: 4
            target: {engine: vllm, on_misfit: nearest, tensor_parallel: 2}
            stages:
              - flrq+: {target_bits: 4.5, residual: lrq, widths: fixed}
            data: {calibration: self}
            """),
        ("yaml", """{"weights": {"grid": "q4_k"}, "layers": [{"match": "v_proj", "grid": "q6_k"}], "target": "llama.cpp", "stages": [{"flrq": {"rank": 4, "rank_rule": "fixed"}}], "data": {"calibration": ["x"]}, "seed": 1}"""),
        ("yaml", "a: &x [1, 2]\nb: &y [*x, *x]\nseed: !!int 3\n--- \n? [k]\n: |\n  text\n"),
        ("yaml", "stages: [[[[[[[[[[[[[[[[[rtn]]]]]]]]]]]]]]]]]\nseed: 1e999\nblocks: [{blocks: 0-99999, seed: -1}]"),
        ("jsonl", """{"text": "one"}""" + "\n" + """{"text": "two \ud83d\ude00"}""" + "\n"),
        ("jsonl", """["one", {"text": "two"}]"""),
        ("jsonl", """{"text": [{"text": "one"}], "version": 1}"""),
        ("jsonl", "[1, 2, 3, 4, 5, 6, 7, 8]\n[9, 10, 11]\n"),
        ("jsonl", "a,b,right\n\"x, \"\"y\"\"\",2,1\n"),
        ("jsonl", """{"task": "boolq", "index": 0, "gold": 1, "logLikelihoods": [-1.5, -2], "lengths": [2, 3], "error": null}"""),
        ("jsonl", """{"question": "is it", "passage": "It is.", "answer": true, "label": 1, "idx": 3}"""),
        ("jsonl", """{"goal": "open", "sol1": "a", "sol2": "b", "label": "0"}"""),
        ("jsonl", """{"activity_label": "Sport", "ctx_a": "He runs", "ctx_b": "then he", "ctx": "He runs then he", "endings": ["a [title] b", "c", "d", "e"], "label": 2}"""),
        ("jsonl", """{"sentence": "The _ was big", "option1": "dog", "option2": "cat", "answer": "1"}"""),
        ("jsonl", """{"id": "x", "question": {"stem": "Which", "choices": [{"text": "a", "label": "A"}, {"text": "b", "label": "B"}]}, "answerKey": "B"}"""),
        ("jsonl", """{"premise": "It rained", "choice1": "wet", "choice2": "dry", "question": "effect", "label": 0}"""),
        ("jsonl", """{"text": "A man saw him", "pronoun": "him", "pronoun_loc": 10, "options": ["A man", "x"], "label": 0, "quote": "saw"}"""),
        ("config", """{"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 128, "vocab_size": 32, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}"""),
        ("config", """{"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 128, "vocab_size": 32, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": false, "desc_act": true, "dynamic": {"+:.*q_proj": {"bits": 4}, "-:.*k_proj": {}}}}"""),
        ("config", """{"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 128, "vocab_size": 32, "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": true, "version": "gemm", "modules_to_not_convert": ["lm_head"]}}"""),
        ("config", """{"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 128, "vocab_size": 32, "quantization": {"group_size": 32, "bits": 4, "mode": "affine", "model.layers.0.self_attn.q_proj": {"group_size": 32, "bits": 4}}}"""),
        ("config", """{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none", "task_type": "CAUSAL_LM", "rank_pattern": {}, "use_rslora": false, "base_model_name_or_path": ""}"""),
    ];
}
