"""transformers' own common tests, from its source distribution, on `PyraTokModel` and `PyraTokConfig`."""

import sys
import unittest

import torch
from fetch_transformers_tests import common_tests_folder
from named_skips import NamedSkips

from pyratok import PyraTokConfig, PyraTokModel

sys.path.insert(0, str(common_tests_folder()))

from transformers_common_tests.test_configuration_common import ConfigTester
from transformers_common_tests.test_modeling_common import ModelTesterMixin

NO_ATTENTIONS = "PyraTok returns no attention maps: its one attention, to the text, is not an output"
NO_FLASH = "flash and flex attention are not offered: the text is short, SDPA serves it"
NO_GENERATE = "PyraTokModel is a tokenizer: it has no `generate` and no language modelling head"
NO_TOKEN_IDS = (
    "PyraTokModel takes pixels, not token ids: it has no vocabulary, no embedding table and no table of positions"
)
NO_ROPE = "PyraTokModel has no rotary position embedding"
NO_EXPERTS = "PyraTokModel has no mixture of experts"
NO_SUB_CONFIGS = (
    "PyraTokConfig has no sub-configurations: the backbone's settings are keyword arguments of a diffusers class"
)
NO_CAPTURE_HOOKS = (
    "hidden states are returned by `forward` itself, not captured by hooks (tested in test_hidden_states_output)"
)
NO_KEY_CONVERSION = "weights are stored under the names they have in the model"
NO_TENSOR_PARALLEL_PLAN = "PyraTokModel declares no tensor parallel plan"
NO_FP32_MODULES = "no module is kept in float32 when the rest is loaded in half precision"
ACCELERATOR = "needs an accelerator, and runs where there is one"
SLOW = "transformers runs it on request alone (RUN_SLOW=1), and then only for models that name a class to compile"

SKIPS = NamedSkips(
    not_applicable={"test_model_get_set_embeddings": NO_TOKEN_IDS},
    by_themselves={
        "test_attention_outputs": NO_ATTENTIONS,
        "test_attn_implementation_composite_models": NO_ATTENTIONS,
        "test_eager_matches_sdpa_inference_*": NO_ATTENTIONS,
        "test_sdpa_can_dispatch_composite_models": NO_ATTENTIONS,
        "test_sdpa_can_dispatch_non_composite_models": NO_ATTENTIONS,
        "test_sliding_window_mask": NO_ATTENTIONS,
        "test_can_set_attention_dynamically_composite_model": NO_SUB_CONFIGS,
        "test_internal_model_config_and_subconfig_are_same": NO_SUB_CONFIGS,
        "test_can_capture_specific_layers_hidden_states": NO_CAPTURE_HOOKS,
        "test_capture_outputs_decorator": NO_CAPTURE_HOOKS,
        "test_can_load_from_already_mapped_keys": NO_KEY_CONVERSION,
        "test_reverse_loading_mapping": NO_KEY_CONVERSION,
        "test_causal_lm_loss_honors_shift_labels": NO_GENERATE,
        "test_encoder_decoder_loss_no_double_shift": NO_GENERATE,
        "test_eager_matches_batched_and_grouped_inference_*": NO_EXPERTS,
        "test_moe_models_record_router_logits": NO_EXPERTS,
        "test_output_router_logits_from_config": NO_EXPERTS,
        "test_enable_input_require_grads_with_gradient_checkpointing": NO_TOKEN_IDS,
        "test_inputs_embeds": NO_TOKEN_IDS,
        "test_resize_*": NO_TOKEN_IDS,
        "test_keep_in_fp32_modules": NO_FP32_MODULES,
        "test_keep_in_fp32_modules_exist": NO_FP32_MODULES,
        "test_model_rope_*": NO_ROPE,
        "test_vision_axial_rope": NO_ROPE,
        "test_tied_head_has_a_tp_plan_entry": NO_TENSOR_PARALLEL_PLAN,
        "test_tp_plan_matches_params": NO_TENSOR_PARALLEL_PLAN,
        "test_torch_compile_for_training": SLOW,
    },
    by_machine={
        "test_can_load_with_device_context_manager": ACCELERATOR,
        "test_can_load_with_global_device_set": ACCELERATOR,
        "test_cpu_offload": ACCELERATOR,
        "test_disk_offload_bin": ACCELERATOR,
        "test_disk_offload_safetensors": ACCELERATOR,
        "test_model_parallelism": ACCELERATOR,
        "test_sdpa_can_compile_dynamic": ACCELERATOR,
        "test_sdpa_can_dispatch_on_flash": ACCELERATOR,
        "test_flash_attn_*": NO_FLASH,
        "test_flex_attention_with_grads": NO_FLASH,
        "test_kernels_can_load_without_crashing": "needs the kernels library and an accelerator",
    },
)


class PyraTokModelTester:
    """A tiny model and a batch of random videos, the same in every test."""

    is_training = True
    batch_size = 2
    num_frames = 5
    image_size = 32

    def __init__(self, parent: unittest.TestCase):
        self.parent = parent

    def get_config(self) -> PyraTokConfig:
        """The smallest configuration that exercises every part."""
        return PyraTokConfig.tiny()

    def prepare_config_and_inputs_for_common(self) -> tuple[PyraTokConfig, dict[str, torch.Tensor]]:
        """The configuration and the inputs of `forward`: (B, T, C, H, W) in [-1, 1], seeded."""
        shape = (self.batch_size, self.num_frames, 3, self.image_size, self.image_size)
        video = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return self.get_config(), {"pixel_values_videos": video}


@SKIPS.hold
class TestTransformersCommon(ModelTesterMixin, unittest.TestCase):
    """All of `ModelTesterMixin`, and the configuration tests."""

    all_model_classes = (PyraTokModel,)
    test_resize_embeddings = False
    has_attentions = False
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        self.model_tester = PyraTokModelTester(self)

    def test_config(self):
        """`ConfigTester`: JSON, files, subfolders, common options, labels."""
        tester = ConfigTester(
            self,
            config_class=PyraTokConfig,
            has_text_modality=False,
            common_properties=["hidden_size", "num_attention_heads"],
            hidden_size=64,
            num_attention_heads=4,
            codebook_bits=12,
        )
        tester.run_common_tests()

    def test_hidden_states_output(self):
        """Instead of the inherited test, which expects (B, sequence, hidden): (B, hidden, T_l, H_l, W_l) per level."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for through_config in (False, True):
            config.output_hidden_states = through_config
            options = {} if through_config else {"output_hidden_states": True}
            with torch.no_grad():
                hidden_states = PyraTokModel(config).eval()(**inputs, **options).hidden_states
            frames = self.model_tester.num_frames
            expected = [
                (
                    self.model_tester.batch_size,
                    config.hidden_size,
                    1 + (frames - 1) // time,
                    self.model_tester.image_size // space,
                    self.model_tester.image_size // space,
                )
                for time, space in config.level_strides
            ]
            self.assertEqual([tuple(level.shape) for level in hidden_states], expected)


class ResidualModelTester(PyraTokModelTester):
    """The same with the residual quantizer, and a text that has an effect."""

    def get_config(self) -> PyraTokConfig:
        backbone = {"base_dim": 8, "z_dim": 6, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 1}
        text = {"text_hidden_size": 10, "residual_text_sizes": (8, 5), "residual_text_scale": 0.5}
        return PyraTokConfig.residual(backbone, **text, freeze_backbone=False)

    def prepare_config_and_inputs_for_common(self) -> tuple[PyraTokConfig, dict[str, torch.Tensor]]:
        config, inputs = super().prepare_config_and_inputs_for_common()
        text = torch.randn(self.batch_size, 4, 10, generator=torch.Generator().manual_seed(1))
        return config, inputs | {"text_embeds": text}


class TestTransformersCommonResidual(TestTransformersCommon):
    """All of it again for the residual quantizer."""

    def setUp(self):
        self.model_tester = ResidualModelTester(self)
